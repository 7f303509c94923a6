"""GitHub's JSON, whole: every key that its published schemas require, with this machine's URLs.

Source of the keys: @octokit/openapi 23.0.2 (api.github.com) and @octokit/openapi-webhooks 12.1.0.
What `told` has is our own.
"""
