"""The small part of GitHub's GraphQL that the product asks: executed by graphql-core."""

from __future__ import annotations

from functools import cache
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, graphql_sync

from sandbox.github.access import Refused
from sandbox.github.door import Answer, Call, Table
from sandbox.github.shapes import people, repos
from sandbox.github.shapes import threads as shapes
from sandbox.github.state import Account, Json, Repository, Thread, iso, iso_or_none
from sandbox.github.verbs import branches

routes = Table()

# Names, types and nullability as in GitHub's public schema (@octokit/graphql-schema 15.26.1).
SCHEMA = """
scalar DateTime
scalar URI
enum PullRequestState { OPEN CLOSED MERGED }
enum IssueState { OPEN CLOSED }
interface Node { id: ID! }
interface Actor { login: String! url: URI! avatarUrl(size: Int): URI! }
type User implements Node & Actor {
  id: ID! login: String! url: URI! avatarUrl(size: Int): URI! databaseId: Int name: String
}
type PageInfo { endCursor: String startCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! }
type Repository implements Node {
  id: ID! databaseId: Int name: String! nameWithOwner: String! url: URI! isPrivate: Boolean!
  pullRequest(number: Int!): PullRequest
  issue(number: Int!): Issue
}
type IssueEdge { cursor: String! node: Issue }
type IssueConnection { totalCount: Int! nodes: [Issue] edges: [IssueEdge] pageInfo: PageInfo! }
type Issue implements Node {
  id: ID! databaseId: Int number: Int! title: String! body: String! url: URI! state: IssueState!
  closed: Boolean! createdAt: DateTime! closedAt: DateTime author: Actor repository: Repository!
}
type PullRequest implements Node {
  id: ID! databaseId: Int number: Int! title: String! body: String! url: URI! state: PullRequestState!
  merged: Boolean! mergedAt: DateTime createdAt: DateTime! isDraft: Boolean!
  baseRefName: String! headRefName: String! headRefOid: String! author: Actor repository: Repository!
  closingIssuesReferences(
    after: String before: String first: Int last: Int userLinkedOnly: Boolean = false
  ): IssueConnection
}
type Query {
  viewer: User!
  repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
}
"""


@cache
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA)


def actor(call: Call, account: Account) -> Json:
    shape = people.user(call.hub, account)
    return {
        "__typename": "User",
        "id": shape["node_id"],
        "login": account.login,
        "url": shape["html_url"],
        "avatarUrl": shape["avatar_url"],
        "databaseId": account.id % 2**31,  # an Int here is 32 bits wide
        "name": account.name or None,
    }


def repository(call: Call, repo: Repository) -> Json:
    def thread(number: int, pull: bool) -> Thread:
        found = repo.threads.get(number)
        if found is None or bool(found.pull) is not pull:
            what = "PullRequest" if pull else "Issue"
            raise GraphQLError(f"Could not resolve to a {what} with the number of {number}.")
        return found

    return {
        "id": people.node_id("Repository", repo.id),
        "databaseId": repo.id,
        "name": repo.name,
        "nameWithOwner": repo.full_name,
        "url": repos.page(call.hub, repo),
        "isPrivate": repo.private,
        "pullRequest": lambda _, number: pull(call, repo, thread(number, True)),
        "issue": lambda _, number: issue(call, repo, thread(number, False)),
    }


def common(call: Call, repo: Repository, thread: Thread) -> Json:
    return {
        "number": thread.number,
        "title": thread.title,
        "body": thread.body or "",
        "url": shapes.page(call.hub, repo, thread),
        "createdAt": iso(thread.created_at),
        "author": actor(call, thread.user),
        "repository": lambda _: repository(call, repo),
    }


def issue(call: Call, repo: Repository, thread: Thread) -> Json:
    return common(call, repo, thread) | {
        "id": people.node_id("Issue", thread.id),
        "databaseId": thread.id % 2**31,
        "state": thread.state.upper(),
        "closed": thread.state == "closed",
        "closedAt": iso_or_none(thread.closed_at),
    }


def pull(call: Call, repo: Repository, thread: Thread) -> Json:
    made = shapes.of(thread)
    merged = made.merged_at is not None

    def references(_: object, first: int | None = None, last: int | None = None, **more: Any) -> Json:
        if first is None and last is None:
            raise GraphQLError(
                "You must provide a `first` or `last` value to properly paginate the "
                "`closingIssuesReferences` connection."
            )
        linked = [] if more.get("userLinkedOnly") else branches.closing(call.hub, repo, thread)
        linked = [(r, t) for r, t in linked if call.caller.sees(r) or not r.private]
        start = int(more.get("after") or 0)
        shown = linked[start : start + (first or 100)] if first is not None else linked[-(last or 100) :]
        nodes = [issue(call, other, one) for other, one in shown]
        return {
            "totalCount": len(linked),
            "nodes": nodes,
            "edges": [{"cursor": str(start + n + 1), "node": node} for n, node in enumerate(nodes)],
            "pageInfo": {
                "endCursor": str(start + len(nodes)) if nodes else None,
                "startCursor": str(start + 1) if nodes else None,
                "hasNextPage": start + len(nodes) < len(linked),
                "hasPreviousPage": start > 0,
            },
        }

    return common(call, repo, thread) | {
        "id": people.node_id("PullRequest", made.id),
        "databaseId": made.id % 2**31,
        "state": "MERGED" if merged else thread.state.upper(),
        "merged": merged,
        "mergedAt": iso_or_none(made.merged_at),
        "isDraft": made.draft,
        "baseRefName": made.base_ref,
        "headRefName": made.head_ref,
        "headRefOid": made.head_sha,
        "closingIssuesReferences": references,
    }


@routes("POST", "/graphql", "signed in")
def graphql(call: Call) -> Answer:
    def find(_: object, owner: str, name: str, followRenames: bool = True) -> Json | None:
        repo = call.hub.repository(f"{owner}/{name}")
        if repo is None or not call.caller.sees(repo):
            raise GraphQLError(f"Could not resolve to a Repository with the name '{owner}/{name}'.")
        return repository(call, repo)

    query = call.field("query")
    if not isinstance(query, str):
        raise Refused(400, "A query attribute must be specified and must be a string.")
    root = {"viewer": lambda _: actor(call, call.by), "repository": find}
    done = graphql_sync(
        schema(),
        query,
        root_value=root,
        variable_values=call.field("variables") or {},
        operation_name=call.field("operationName"),
    )
    shape: Json = {"data": done.data} if done.data is not None or not done.errors else {}
    if done.errors:
        shape["errors"] = [
            {
                "message": e.message,
                "path": e.path or [],
                "locations": [x.formatted for x in e.locations or []],
            }
            for e in done.errors
        ]
    return 200, shape
