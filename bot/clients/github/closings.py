"""What merging a pull request closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.clients.github.shapes import Json, Repo
from bot.core.attribution import Place

if TYPE_CHECKING:
    from bot.clients.github.connection import Connection

CLOSING = """query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      closingIssuesReferences(first: 100, after: $after) {
        nodes { number repository { databaseId nameWithOwner } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""


def closing_issues(wire: Connection, repo: Repo, number: int) -> tuple[Place, ...]:
    """All of them that a token for this repository sees."""
    found: list[Place] = []
    after: str | None = None
    while True:
        asked = {"owner": repo.owner, "name": repo.name, "number": number, "after": after}
        data = wire.graphql(repo, CLOSING, asked)
        linked = data["repository"]["pullRequest"]["closingIssuesReferences"]
        for node in linked["nodes"] or ():
            where = _repository(repo, node["repository"]) if node else None
            if where is not None:
                found.append((where, int(node["number"])))
        if not linked["pageInfo"]["hasNextPage"]:
            return tuple(found)
        after = linked["pageInfo"]["endCursor"]


def _repository(repo: Repo, told: Json) -> int | None:
    # The number may be missing: GraphQL's Int has 32 bits. A name says which repository only for this one.
    if told["databaseId"] is not None:
        return int(told["databaseId"])
    return repo.id if told["nameWithOwner"].lower() == repo.full_name.lower() else None
