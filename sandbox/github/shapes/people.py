"""Accounts, Apps and installations as GitHub's API shows them."""

from __future__ import annotations

import base64

from sandbox.github.state import Account, App, Hub, Installation, Json, Repository, iso, iso_or_none


def node_id(kind: str, id: int) -> str:
    return base64.b64encode(f"{kind}:{id}".encode()).decode().rstrip("=")


def user(hub: Hub, account: Account) -> Json:
    """simple-user."""
    api = f"{hub.url}/users/{account.login}"
    page = f"{hub.url}/{account.login}"
    if account.type == "Bot":
        page = f"{hub.url}/apps/{account.login.removesuffix('[bot]')}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("User", account.id),
        "avatar_url": f"{hub.url}/avatars/{account.login}.svg",
        "gravatar_id": "",
        "url": api,
        "html_url": page,
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": account.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def profile(hub: Hub, account: Account, at: float) -> Json:
    """public-user."""
    return user(hub, account) | {
        "name": account.name or account.login,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": sum(1 for repo in hub.repositories.values() if repo.owner is account),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": iso(at),
        "updated_at": iso(at),
    }


def collaborator(hub: Hub, repo: Repository, account: Account) -> Json:
    """repository-collaborator-permission: `permission` knows four words, `role_name` all."""
    role = repo.role(account.login)
    return {
        "permission": role.permission,
        "role_name": role.name,
        "user": user(hub, account) | {"permissions": grants(repo, account), "role_name": role.name},
    }


def grants(repo: Repository, account: Account) -> dict[str, bool]:
    role = repo.role(account.login)
    ladder = {"pull": 1, "triage": 2, "push": 3, "maintain": 4, "admin": 5}
    return {name: role >= least for name, least in ladder.items()}


def app(hub: Hub, app: App) -> Json:
    """integration."""
    return {
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "node_id": node_id("App", app.id),
        "owner": user(hub, app.owner),
        "name": app.name,
        "description": app.manifest.get(
            "description", "Claude in your pull requests, under four hard ceilings"
        ),
        "external_url": app.manifest.get("url", f"{hub.url}/apps/{app.slug}"),
        "html_url": f"{hub.url}/apps/{app.slug}",
        "created_at": iso(app.created_at),
        "updated_at": iso(app.created_at),
        "permissions": app.permissions,
        "events": app.events,
    }


def app_with_count(hub: Hub, made: App) -> Json:
    count = sum(1 for installation in hub.installations.values() if installation.app is made)
    return app(hub, made) | {"installations_count": count}


def installation(hub: Hub, made: Installation) -> Json:
    """installation."""
    api = f"{hub.url}/app/installations/{made.id}"
    return {
        "id": made.id,
        "client_id": made.app.client_id,
        "account": user(hub, made.account),
        "repository_selection": "all" if made.repositories is None else "selected",
        "access_tokens_url": f"{api}/access_tokens",
        "repositories_url": f"{hub.url}/installation/repositories",
        "html_url": f"{hub.url}/organizations/{made.account.login}/settings/installations/{made.id}",
        "app_id": made.app.id,
        "app_slug": made.app.slug,
        "target_id": made.account.id,
        "target_type": made.account.type,
        "permissions": made.permissions,
        "events": made.app.events,
        "created_at": iso(made.created_at),
        "updated_at": iso(made.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None,
        "suspended_at": iso_or_none(made.suspended_at),
    }


def installation_mark(made: Installation) -> Json:
    """simple-installation: what a webhook says of the App's place."""
    return {"id": made.id, "node_id": node_id("Installation", made.id)}


def organization(hub: Hub, account: Account) -> Json:
    """organization-simple-webhooks."""
    api = f"{hub.url}/orgs/{account.login}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id("Organization", account.id),
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"{hub.url}/avatars/{account.login}.svg",
        "description": "",
    }
