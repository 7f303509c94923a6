"""Every table on one page. Times are integer milliseconds since the epoch, money is nano-dollars (int64).

A run's row carries its ceilings and its counters, so that "does it fit" and "take it" are one UPDATE.
Turns are append-only but for one change of state: held, then settled, estimated or released; a later
correction is a row of its own that names the turn it corrects.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# States of a run (L1). One that waits costs and holds nothing, and yet is its thread's one.
STARTED = ("open", "running")
LIVE = ("queued", *STARTED)
# States of a turn that was charged for, in the end or at first.
CHARGED = ("settled", "estimated", "corrected")
UNCHARGED = ("held", "released")  # every other one


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


# SQLite numbers rows by itself only in a column declared INTEGER.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

runs = Table(
    "runs",
    metadata,
    Column("id", String(12), primary_key=True),
    # Where it came from. L2: one run for each (repository, comment kind, comment).
    Column("origin", String(12), nullable=False),  # github | step | laptop | exec | run | exam
    Column("installation", BigInteger),
    Column("repository_id", BigInteger),
    Column("repository", String(200), nullable=False, server_default=""),
    Column("thread", BigInteger),
    Column("thread_kind", String(8)),  # pull | issue
    Column("comment_kind", String(16)),  # issue_comment | review_comment | step | laptop
    Column("comment_id", BigInteger),  # of a step or a laptop: the number that it chose
    Column("actor", String(100), nullable=False, server_default=""),
    Column("actor_id", BigInteger),  # GitHub's number of the person: a name can be changed, and a cap stays
    Column("line", String(40), nullable=False, server_default=""),  # the budget line that it is on
    Column("key_name", String(64), nullable=False, server_default=""),  # the key it is sent with; "": default
    # The sweep that it is an item of, and which. Such a run has the comment kind "sweep.ITEM" (L2).
    Column("sweep", String(12), nullable=False, server_default=""),
    Column("item", Integer),
    Column("month", String(7), nullable=False, server_default=""),  # of the launch, in the caps' time zone
    Column(
        "opened_by", String(100), nullable=False, server_default=""
    ),  # the story that opened it, a step's job, or a laptop
    Column("branch", String(255), nullable=False, server_default=""),  # of a laptop's checkout
    # What was asked: a snapshot taken at the trigger.
    Column("task_class", String(16), nullable=False),
    Column("engine", String(32), nullable=False),
    Column("model", String(100), nullable=False),
    Column("effort", String(16), nullable=False, server_default=""),
    Column("task", Text, nullable=False, server_default=""),
    Column("snapshot", Text, nullable=False, server_default="{}"),  # JSON: head, base, title, labels, policy
    # Ceilings, all four always, and where they came from.
    Column("ceiling_nanos", BigInteger, nullable=False),
    Column("ceiling_tokens", BigInteger, nullable=False),
    Column("ceiling_steps", BigInteger, nullable=False),
    Column("ceiling_seconds", BigInteger, nullable=False),
    Column("ceiling_cached_tokens", BigInteger),
    # 1: a slice of each is out of reach until the agent was told to wrap up (G10); 0: it is not, or no more.
    Column("kept_back", Integer, nullable=False, server_default="0"),
    Column("sources", Text, nullable=False, server_default="{}"),  # JSON
    Column("clamps", Text, nullable=False, server_default="[]"),  # JSON
    Column("rules", Text, nullable=False, server_default="{}"),  # JSON of core/rules: what the gateway obeys
    Column("retention_days", Integer, nullable=False, server_default="30"),  # of its blobs
    # State (L1) and how it came to it.
    Column(
        "state", String(12), nullable=False
    ),  # queued | open | running | done | halted | failed | lost | refused
    Column("reason", String(32)),
    Column("message", Text, nullable=False, server_default=""),
    Column("notice", Text, nullable=False, server_default=""),  # what its person is told of the month
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("token_hash", String(64), unique=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("queued_at", BigInteger),  # when this attempt got in line, if it had to
    Column("started_at", BigInteger),
    Column("deadline_at", BigInteger),
    Column("lease_until_at", BigInteger),
    Column("ended_at", BigInteger),
    _count("earlier_ms"),  # that the attempts before this one took; started_at is earlier by it (G7)
    # Counters. held_* is what requests in flight may still cost.
    _count("spent_nanos"),
    _count("held_nanos"),
    _count("estimated_nanos"),
    _count("spent_tokens"),
    _count("held_tokens"),
    _count("steps"),
    _count("held_steps"),
    _count("held_cached"),
    _count("input"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("cache_read"),
    _count("output"),
    _count("tool_calls"),
    _count("cost_input_nanos"),
    _count("cost_write_nanos"),
    _count("cost_read_nanos"),
    _count("cost_output_nanos"),
    _count("cost_tools_nanos"),
    Column("price_book", String(100), nullable=False, server_default=""),
    # What the refused request would have had to be held for: what a cache miss makes unreachable (G3).
    Column("needed_nanos", BigInteger),
    Column("needed_tokens", BigInteger),
    # GitHub's side of it.
    Column("report_comment_id", BigInteger),
    Column("check_run_id", BigInteger),
    Column("workflow_run_id", BigInteger),
    Column("workflow_url", Text, nullable=False, server_default=""),
    Column("dispatched_at", BigInteger),
    Column("published", Text),  # JSON of reports.Published
    Column("published_pull", BigInteger),  # that was opened for it, or that a laptop's branch became
    Column("resumed", Text),  # JSON of how this attempt was asked for; none: it is the first
    # What a person did with its partial work: accepted | discarded, who, and the story that does it.
    Column("settled_as", String(12)),
    Column("settled_by", String(100)),
    Column("settled_in", String(64)),
    Column("result", Text),  # JSON: summary, check, isolation
    Column("finishing_at", BigInteger),  # from here on no result is taken any more
    Column("finished_at", BigInteger),  # the last report stands
    Column("last_lines", Text, nullable=False, server_default="[]"),  # JSON: what the agent did last
    # The live comment: when it was last edited, what it showed, and until when someone is editing it.
    Column("reported_at", BigInteger),
    Column("reported_digest", String(64)),
    Column("reporting_until_at", BigInteger),
    Column("traced_at", BigInteger),  # the end (ended_at) that was told to a collector of traces
    UniqueConstraint("repository_id", "comment_kind", "comment_id"),
    Index(None, "repository_id", "thread"),
    Index(None, "repository_id", "published_pull"),
    # L3: one live run a thread. The items of a sweep are many; the sweep itself is the thread's one.
    Index(
        "uq_runs_live_thread",
        "repository_id",
        "thread",
        unique=True,
        sqlite_where=text("sweep = '' AND state IN ('queued', 'open', 'running')"),
        postgresql_where=text("sweep = '' AND state IN ('queued', 'open', 'running')"),
    ),
    # One live run a job, whose steps come one after the other.
    Index(
        "uq_runs_live_job",
        "repository_id",
        "opened_by",
        unique=True,
        sqlite_where=text("origin = 'step' AND state IN ('open', 'running')"),
        postgresql_where=text("origin = 'step' AND state IN ('open', 'running')"),
    ),
    # A laptop that asks again is given what it was given; its run may be of no repository.
    Index(
        "uq_runs_asked_by_laptop",
        "opened_by",
        "comment_id",
        unique=True,
        sqlite_where=text("origin = 'laptop'"),
        postgresql_where=text("origin = 'laptop'"),
    ),
    Index(None, "state"),
    # Those whose end no collector was told.
    Index(
        "ix_runs_untraced",
        "ended_at",
        sqlite_where=text("ended_at IS NOT NULL AND (traced_at IS NULL OR traced_at <> ended_at)"),
        postgresql_where=text("ended_at IS NOT NULL AND (traced_at IS NULL OR traced_at <> ended_at)"),
    ),
    Index(None, "opened_at"),
    Index(None, "ended_at"),
    Index(None, "month"),
    # With the line: SQLite would else take the index of lines for a person's own month, and read everybody's.
    Index(None, "actor_id", "month", "line"),
    Index(None, "repository_id", "month"),
    Index(None, "installation", "month"),
    Index(None, "line", "month"),
    Index(None, "sweep", "item"),
    # Names are asked for whatever the case.
    Index("ix_runs_named_repository", text("lower(repository)"), "repository_id"),
    Index("ix_runs_named_actor", text("lower(actor)"), "actor_id"),
)

# Task lists that are run item by item: what was asked for, what goes on, what its comment shows.
sweeps = Table(
    "sweeps",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("installation", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("repository", String(200), nullable=False),
    Column("thread", BigInteger, nullable=False),
    Column("comment_id", BigInteger, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("actor_id", BigInteger, nullable=False),
    Column("line", String(40), nullable=False),
    Column("url", Text, nullable=False),  # of the issue
    Column("parallel", Integer, nullable=False),
    Column("total_nanos", BigInteger, nullable=False),
    Column("each", Text, nullable=False),  # JSON: the ceilings of an item
    Column("clamps", Text, nullable=False, server_default="[]"),  # JSON
    Column("opened_by", String(100), nullable=False),  # the story that opened this attempt
    Column("resumed_by", String(100), nullable=False, server_default=""),
    Column("stopped_by", String(100), nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("live", Boolean, nullable=False, server_default="1"),
    Column("opened_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("finished_at", BigInteger),  # the last word is said
    Column("ticked", Text, nullable=False, server_default="[]"),  # JSON: the items whose box is
    Column("report_comment_id", BigInteger),
    Column("reported_at", BigInteger),
    Column("reported_digest", String(64)),
    Column("reporting_until_at", BigInteger),
    UniqueConstraint("repository_id", "comment_id"),
    Index(
        "uq_sweeps_live_thread",
        "repository_id",
        "thread",
        unique=True,
        sqlite_where=text("live"),
        postgresql_where=text("live"),
    ),
    Index(None, "finished_at"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("run", String(12), ForeignKey("runs.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # held | settled | estimated | released | corrected
    Column("corrects", BigInteger),
    Column("step", BigInteger),
    # The hold.
    Column("hold_nanos", BigInteger, nullable=False),
    Column("hold_tokens", BigInteger, nullable=False),
    Column("hold_cached", BigInteger, nullable=False, server_default="0"),
    Column("held_at", BigInteger, nullable=False),
    Column("lease_until_at", BigInteger, nullable=False),
    Column("owner", String(64), nullable=False),  # the gateway process that took the hold
    Column("max_tokens", BigInteger, nullable=False),
    Column("clamped_max_tokens", BigInteger),
    # What it was.
    Column("model_asked", String(100), nullable=False),
    Column("model", String(100)),
    Column("key_name", String(64), nullable=False, server_default=""),
    Column("request_id", String(100)),
    Column("price_book", String(100), nullable=False, server_default=""),
    Column("settled_at", BigInteger),
    Column("status", Integer),
    Column("stop_reason", String(40)),
    Column("ending", String(32)),  # how the answer ended, for the table in docs/gateway.md
    # What it cost.
    _count("nanos"),
    _count("tokens"),
    _count("input"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("cache_read"),
    _count("output"),
    _count("cost_input_nanos"),
    _count("cost_write_nanos"),
    _count("cost_read_nanos"),
    _count("cost_output_nanos"),
    _count("cost_tools_nanos"),
    Column("usage", Text),  # the upstream's own usage object, as JSON
    # The conversation, for the bound of the next request (G3).
    Column("prefix", String(64)),  # hash of model, tools, system and messages
    Index(None, "run", "prefix"),
    Index(None, "state", "lease_until_at"),
    Index(None, "settled_at"),
    # Few turns are corrected, and few are estimates: those are found without a look at the others.
    Index(
        "ix_turns_corrects",
        "corrects",
        sqlite_where=text("corrects IS NOT NULL"),
        postgresql_where=text("corrects IS NOT NULL"),
    ),
    Index(
        "ix_turns_estimated",
        "settled_at",
        sqlite_where=text("state = 'estimated'"),
        postgresql_where=text("state = 'estimated'"),
    ),
)

# What each run's turns came to in a quarter of an hour. This and the next four tables hold nothing that is
# not made anew from the others; they may be emptied together at any time.
quarters = Table(
    "quarters",
    metadata,
    Column("quarter", BigInteger, primary_key=True, autoincrement=False),  # since the epoch
    Column("run", String(12), primary_key=True),
    Column("model", String(100), primary_key=True),
    _count("nanos"),
    _count("input"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("cache_read"),
    _count("output"),
    _count("cost_input_nanos"),
    _count("cost_write_nanos"),
    _count("cost_read_nanos"),
    _count("cost_output_nanos"),
    _count("cost_tools_nanos"),
)

# The same by day, as people in one time zone count them, with all that a run's row and its attribution say of
# whose it was and what became of it, as long as that is final.
days = Table(
    "days",
    metadata,
    Column("quarter", BigInteger, primary_key=True, autoincrement=False),  # that the day begins with
    Column("run", String(12), primary_key=True),
    Column("model", String(100), primary_key=True),  # without its date
    Column("alone", Boolean, nullable=False),  # the run has no other row
    Column("repository_id", BigInteger),
    Column("repository", String(200), nullable=False),
    Column("threaded", Boolean, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("actor_id", BigInteger),
    Column("line", String(40), nullable=False),
    Column("task_class", String(16), nullable=False),
    Column("engine", String(32), nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(32)),
    Column("attributed", Boolean, nullable=False),
    _count("nanos"),
    _count("input"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("cache_read"),
    _count("output"),
    _count("cost_input_nanos"),
    _count("cost_write_nanos"),
    _count("cost_read_nanos"),
    _count("cost_output_nanos"),
    _count("cost_tools_nanos"),
    Index(None, "run"),
)

# How each run has ended, as its row says it, as long as that is final.
ends = Table(
    "ends",
    metadata,
    Column("run", String(12), primary_key=True),
    Column("ended_at", BigInteger, nullable=False),
    Column("repository_id", BigInteger),
    Column("repository", String(200), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("actor_id", BigInteger),
    Column("line", String(40), nullable=False),
    Column("task_class", String(16), nullable=False),
    Column("engine", String(32), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(32)),
    Column("steps", BigInteger, nullable=False),
    Column("long", Boolean, nullable=False),  # needed more steps than one task should
    Column("spent_tokens", BigInteger, nullable=False),
    Index(None, "ended_at"),
)

# What was spent on each merged pull request, by its runs' rows. One that is not here is summed up when it is
# asked for.
pull_sums = Table(
    "pull_sums",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    _count("nanos"),
    _count("halted_nanos"),
    _count("context_nanos"),
    _count("runs"),
    _count("attempts"),
)

# How far each of these is: quarters | days ZONE: up to which quarter, exclusive; changes, ends: since when
# (ms) what a row of days or of ends says of its run may be another by now.
rolled = Table(
    "rolled",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("through", BigInteger, nullable=False),
)

# What reconciliation books to no run: corrections of stretches in which several runs had estimates (M2).
pool_corrections = Table(
    "pool_corrections",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("key_name", String(64), nullable=False),
    Column("model", String(100), nullable=False),  # without its date
    Column("since_at", BigInteger, nullable=False),  # the stretch: whole minutes, until_at exclusive
    Column("until_at", BigInteger, nullable=False),
    Column("price_book", String(100), nullable=False),
    Column("booked_at", BigInteger, nullable=False),
    _count("nanos"),
    _count("tokens"),
    _count("input"),
    _count("cache_write_5m"),
    _count("cache_write_1h"),
    _count("cache_read"),
    _count("output"),
    _count("cost_input_nanos"),
    _count("cost_write_nanos"),
    _count("cost_read_nanos"),
    _count("cost_output_nanos"),
    _count("cost_tools_nanos"),
    Index(None, "until_at"),
    Index(None, "booked_at"),
)

# Where ledger and invoice differ, as the last look at that day had it: a row whose figures have changed is
# resolved, and another one takes its place (M2).
drifts = Table(
    "drifts",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("report", String(8), nullable=False),  # what it was found in: minutes | days | prices
    Column("day", String(10), nullable=False),  # UTC
    Column("key_name", String(200), nullable=False),
    Column("model", String(100), nullable=False),  # without its date
    Column("kind", String(16), nullable=False),  # of core/drift
    Column("part", String(200), nullable=False),
    _count("expected_nanos"),
    _count("invoiced_nanos"),
    _count("expected_tokens"),
    _count("invoiced_tokens"),
    Column("runs", Text, nullable=False, server_default="[]"),  # JSON
    Column("hint", Text, nullable=False, server_default=""),
    Column("found_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Index(None, "day"),
    Index(
        "uq_drifts_open",
        "report",
        "day",
        "key_name",
        "model",
        "kind",
        "part",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

# What Cursor's admin API tells: events, and further rows that correct them; none is changed (core/cursor). It
# is on no invoice of Anthropic's, and no turn, run or pull request has a part in it.
cursor_events = Table(
    "cursor_events",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("email", String(320), nullable=False),  # in lower case; "": none is told
    Column("model", String(100), nullable=False),
    Column("kind", String(100), nullable=False),  # of billing, in Cursor's words
    Column("month", String(7), nullable=False),  # in the caps' time zone; a correction's is its event's
    Column("corrects", BigInteger),  # the id of the event's first row
    Column("booked_at", BigInteger, nullable=False),
    _count("nanos"),
    _count("input"),
    _count("output"),
    _count("cache_write"),
    _count("cache_read"),
    Index(None, "at"),
    Index(None, "month", "email", "nanos"),  # all that a month's sum needs
    Index(None, "booked_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),  # X-GitHub-Delivery
    Column("event", String(64), nullable=False),
    Column("action", String(64), nullable=False, server_default=""),
    Column("story", String(64)),  # the story that it started; none for what is of no interest
    Column("received_at", BigInteger, nullable=False),
)

# How far others' accounts were compared with ours: GitHub's log of deliveries, and comments after a gap;
# Anthropic's reports; Cursor's events. And since when runs are told to a collector of traces, and by whom.
looks = Table(
    "looks",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("through_at", BigInteger, nullable=False),  # by the clock of whoever has the account
    Column("began_at", BigInteger),
    Column("looked_at", BigInteger),  # when the last look that came to its end began
    Column("lease_until_at", BigInteger),
    Column("holder", String(64)),  # the id of the process that looks, or looked last
    _count("found"),  # what had been missed, ever
)

# What GitHub lets each installation do (0: the App itself), and what it created within the last hour.
paces = Table(
    "paces",
    metadata,
    Column("installation", BigInteger, primary_key=True, autoincrement=False),
    _count("limited_until_at"),
    _count("strikes"),  # limits in a row that did not say for how long
)

content = Table(
    "content",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("installation", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Index(None, "installation", "made_at"),
)

# Commands that were acted on: a comment acts once, whatever delivery brings it (L2).
handled = Table(
    "handled",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("comment_kind", String(16), primary_key=True),
    Column("comment_id", BigInteger, primary_key=True),
    Column("story", String(64), nullable=False),  # the delivery that acts, also when it is told anew
    Column("handled_at", BigInteger, nullable=False),  # for people who look here: nothing asks for it
)

# A month of a person, a repository, an installation or a line; its row is the lock under which launches are
# fitted. What knows no month (a sweep's total, how many may be live at once) has a row with month "".
months = Table(
    "months",
    metadata,
    Column("scope", String(16), primary_key=True),  # of core/caps
    Column("owner", String(64), primary_key=True),  # GitHub's number of it, or the line's name
    Column("month", String(7), primary_key=True),
    Column("told_in", String(20)),  # the run and attempt whose report told its person that most of it is gone
)

# Slices of a cap that somebody opened: at most one of each cap for a comment.
acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("comment_kind", String(16), primary_key=True),
    Column("comment_id", BigInteger, primary_key=True),
    Column("scope", String(16), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("month", String(7), nullable=False),
    Column("name", String(200), nullable=False),  # of the owner, as people call it
    Column("by", String(100), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("nanos", BigInteger, nullable=False),  # what it opened
    Column("acknowledged_at", BigInteger, nullable=False),
    Index(None, "scope", "owner", "month"),
)

# Where nothing runs: one row for everywhere ("") or for a repository, in lower case (P6).
switches = Table(
    "switches",
    metadata,
    Column("repository", String(200), primary_key=True),
    Column("by", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("paused_at", BigInteger, nullable=False),
)

# Browsers that are signed in; what is over is forgotten when the next one signs in.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # hash of the cookie
    Column("person", BigInteger, nullable=False),  # GitHub's number
    Column("login", String(100), nullable=False),
    Column("sealed", Text, nullable=False),  # their token at GitHub, unreadable here
    Column("seen", Text, nullable=False),  # JSON: repositories and roles, as GitHub said at looked_at
    Column("opened_at", BigInteger, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
    Column("until_at", BigInteger, nullable=False),
    Index(None, "until_at"),
)

# Who looked at other people's figures, a row for each person, page and day; forgotten after a while.
views = Table(
    "views",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # since the epoch, UTC
    Column("person", BigInteger, primary_key=True, autoincrement=False),  # GitHub's number
    Column("what", String(400), primary_key=True),  # the path, with the table that was downloaded
    Column("login", String(100), nullable=False),
    Column("looks", BigInteger, nullable=False),  # those within a minute are one
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index(None, "last_at"),
)

# What a repository's policy file said when it was last read, and the service's own (number 0).
policies = Table(
    "policies",
    metadata,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("repository", String(200), nullable=False),
    Column("branch", String(255), nullable=False),
    Column("sha", String(64), nullable=False),  # of the commit at which it said this first, as far as we saw
    Column("content", LargeBinary),  # none: there is no such file
    Column("changed_at", BigInteger, nullable=False),
    Column("read_at", BigInteger, nullable=False),
)

# Who changed, acknowledged, paused what; only ever added to.
audit = Table(
    "audit",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", String(100), nullable=False),
    Column("action", String(32), nullable=False),  # paused | unpaused | acknowledged | …
    Column("repository", String(200), nullable=False, server_default=""),
    Column("about", Text, nullable=False, server_default="{}"),  # JSON
)

# People's machines that may open runs here (P7): each has a token of its own, which is kept as its hash.
laptops = Table(
    "laptops",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("actor", String(100), nullable=False),
    Column("actor_id", BigInteger, nullable=False),
    Column("machine", String(100), nullable=False),
    # A repository in which they may write, by which it is asked again whether they still belong here.
    Column("installation", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("repository", String(200), nullable=False),
    Column("seen", Text, nullable=False),  # JSON: repositories and roles, as GitHub said at looked_at
    Column("looked_at", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger),  # when it last opened a run
    Column("revoked_at", BigInteger),
    Index(None, "actor_id"),
)

# Labels of ours that were put on or taken off, as we were told, with the role that whoever did it had then:
# GitHub keeps no history of roles.
labelings = Table(
    "labelings",
    metadata,
    Column("delivery", String(64), primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("thread", BigInteger, nullable=False),
    Column("label", String(200), nullable=False),  # its case folded
    Column("added", Boolean, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("role", Integer, nullable=False),  # of core/roles
    Column("at", BigInteger, nullable=False),  # by GitHub's clock
    Column("recorded_at", BigInteger, nullable=False),
    Index(None, "repository_id", "thread", "recorded_at"),
)

# Commits of outsiders that somebody with write permission lets run: this commit on this pull request only.
approvals = Table(
    "approvals",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("sha", String(64), primary_key=True),  # the whole of it
    Column("repository", String(200), nullable=False),
    Column("author", String(100), nullable=False),  # who had no right to have it run
    Column("approved_by", String(100), nullable=False),
    Column("role", String(10), nullable=False),  # that they had then
    Column("comment_id", BigInteger, nullable=False),
    Column("approved_at", BigInteger, nullable=False),  # for people who look here: nothing asks for it
)

# What was asked and started nothing: who, where, why.
refusals = Table(
    "refusals",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("repository_id", BigInteger),
    Column("repository", String(200), nullable=False, server_default=""),
    Column("thread", BigInteger),
    Column("comment_kind", String(16)),
    Column("comment_id", BigInteger),
    Column("actor", String(100), nullable=False, server_default=""),
    Column("actor_id", BigInteger),
    Column("reason", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("run", String(12)),  # that was to go on; of a start there is none
    Column("refused_at", BigInteger, nullable=False),
    UniqueConstraint("repository_id", "comment_kind", "comment_id"),
)

# What became of each repository that the App was installed on: what `setup --check` shows.
onboardings = Table(
    "onboardings",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("installation", BigInteger, nullable=False),
    Column("repository", String(200), nullable=False),
    Column("state", String(16), nullable=False),  # ready | proposed | declined | skipped | refused | left
    Column("message", Text, nullable=False, server_default=""),
    Column("url", Text, nullable=False, server_default=""),  # of the pull request
    Column("at", BigInteger, nullable=False),
)

# What GitHub said last of pull requests that are merged, or closed after something was spent on them.
pulls = Table(
    "pulls",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("installation", BigInteger, nullable=False),
    Column("repository", String(200), nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("author", String(100), nullable=False, server_default=""),
    Column("base", Text, nullable=False),  # the branch it goes to
    Column("closed", Boolean, nullable=False),
    Column("merged_at", BigInteger),
    Column("reverts", BigInteger),  # the number of the one that it takes back
    Column("updated_at", BigInteger, nullable=False),  # by GitHub: an older word does not replace a newer one
    Index(None, "merged_at"),
    # Few take back another one.
    Index(
        "ix_pulls_reverts",
        "repository_id",
        "reverts",
        sqlite_where=text("reverts IS NOT NULL"),
        postgresql_where=text("reverts IS NOT NULL"),
    ),
    Index("ix_pulls_named_repository", text("lower(repository)"), "repository_id"),
)

# The issues that merging a pull request closes.
closings = Table(
    "closings",
    metadata,
    Column("repository_id", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("issue_repository_id", BigInteger, primary_key=True),
    Column("issue_number", BigInteger, primary_key=True),
    Index(None, "issue_repository_id", "issue_number"),
)

# Which merged PR a run's spend belongs to, by the rule in core/attribution: at most one for each run (R17).
attributions = Table(
    "attributions",
    metadata,
    Column("run", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("because", String(40), nullable=False),
    Index(None, "repository_id", "number"),
)

# Larger things of a run: its result as the runner posted it; its conversation and its changes after the last
# turn, each put in the place of the one before.
blobs = Table(
    "blobs",
    metadata,
    Column("run", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("kind", String(16), primary_key=True),  # result | transcript
    Column("content", LargeBinary, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
)

# Web and worker processes that are alive; a dead one's stories are taken over.
processes = Table(
    "processes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("place", String(200), nullable=False, server_default=""),  # machine and process-id space
    Column("pid", BigInteger, nullable=False, server_default="0"),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("stopped", Boolean, nullable=False, server_default="0"),
)
