"""What people do in a simulated month, through the product's real doors; each outcome is held against the
model at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager

from bot import services, settings
from bot.services import Services
from tests.month.clock import sql
from tests.month.model import Granted, Named, Rules, Stand, usd
from tests.month.world import DOLLAR, PATIENCE, Barred, Broken, Live, Waiting, World, policy

CLASSES = {"fix": 5, "feature": 15, "refactor": 20, "run": 10}  # dollars, docs/policy.md
OUTPUT = 25_000  # nano-dollars a token: Claude Opus 4.7, platform.claude.com, 2026-11
DEAREST = 120_000  # tokens: an answer may have 128,000


class Life(World):
    """What is done in it."""

    def launch(
        self,
        person: Named,
        repository: Named,
        verb: str = "fix",
        cost: int | None = None,
        line: str = "",
        thread: int | None = None,
    ) -> Live | None:
        """A command; what comes of it is what the book says, or the test is over."""
        book, github, month = self.book, self.github[repository.id], self.month()
        words = f"/agent {verb}" + (f" cost=${cost / DOLLAR:.2f}" if cost else "")
        words += f" line={line}" if line else ""
        self._keep_up()
        thread = thread or github.issue(person.name, "A task")
        comment = github.comment(person.name, thread, words)
        self._did(f"{person.name} in {repository.name}#{thread}: {words}")
        if line and person.name.lower() not in book.rules.lines[line][1]:
            self._refused(comment, f"{person.name} is not a member of the budget line `{line}`", "line")
            self.done["not a member"] += 1
            return None
        asked = cost or CLASSES[verb] * DOLLAR
        expected = book.fit(book.caps(person, repository, line), month, asked)
        if isinstance(expected, Stand):
            self._reached(comment, person, repository, thread, expected)
            return None
        query = (
            f"SELECT id, month, ceiling_nanos, clamps, actor_id, repository_id, line FROM runs "
            f"WHERE comment_id = {comment}"
        )
        row = self._until(query, comment)
        clamps = [expected.clamp] if expected.clamp else []
        told = (row[1], row[2], json.loads(row[3]), row[4], row[5], row[6])
        self._same(told, (month, expected.ceiling, clamps, person.id, repository.id, line))
        self._opened(expected, clamps)
        run = book.launched(row[0], person, repository, line, month, expected.ceiling)
        live = Live(run, self.agents.of(run.id, 1), thread)
        self.live.append(live)
        return live

    def resume(self, broken: Broken, who: Named, more: int) -> Live | None:
        """`more`: nano-dollars beyond what it has spent."""
        book, run = self.book, broken.run
        repository, person = self.repositories[run.repository], self.people[run.person]
        self._keep_up()
        total = -(-(run.spent + more) // 10_000_000) * 10_000_000
        comment = self.github[run.repository].comment(
            who.name, broken.thread, f"/agent resume cost=${total / DOLLAR:.2f}"
        )
        self._did(f"{who.name} has {run.id} of {run.name} ({run.month}) go on with {usd(total)}")
        whose = Named(run.person, run.name, person.before)
        expected = book.fit(book.caps(whose, repository, run.line), run.month, total, run.spent)
        if isinstance(expected, Stand):
            self._reached(comment, who, repository, broken.thread, expected, run)
            self.done["a resume is refused"] += 1
            return None
        attempt = broken.attempt + 1
        query = f"SELECT month, ceiling_nanos, clamps FROM runs WHERE id = '{run.id}' AND attempt = {attempt}"
        row = self._until(query, comment)
        clamps = [expected.clamp] if expected.clamp else []
        self._same((row[0], row[1], json.loads(row[2])), (run.month, expected.ceiling, clamps))
        self._opened(expected, clamps)
        self.done["a resume in a later month" if run.month != self.month() else "a resume"] += 1
        run.ceiling, run.live = expected.ceiling, True
        self.broken.remove(broken)
        live = Live(run, self.agents.of(run.id, attempt), broken.thread, attempt)
        self.live.append(live)
        return live

    def ack(self, barred: Barred, by: Named, reason: str = "it has to be") -> bool:
        """Whether a slice was opened."""
        book, repository = self.book, self.repositories[barred.repository]
        comment = self.github[repository.id].comment(by.name, barred.thread, f"/agent ack {reason}")
        self._did(f"{by.name} acknowledges in {repository.name}#{barred.thread}")
        last, run = self.refused[repository.id, barred.thread]
        whose, month = self.people[last] if by.name in book.rules.approvers else by, self.month()
        caps = book.caps(whose, repository)
        caps += [book.line(name) for name, line in book.rules.lines.items() if whose.name.lower() in line[1]]
        if run is not None and any(one.run is run for one in self.broken):
            starter = Named(run.person, run.name, self.people[run.person].before)
            its = book.caps(starter, repository, run.line)
            if any(book.stand(cap, run.month).reached for cap in its):
                whose, caps, month = starter, its, run.month
                self.done["an acknowledgement for a run that goes on"] += 1
        opened, shut = book.acknowledged(by.name, by.id == whose.id, caps, month)
        said = [
            f"- {one.whose}: {usd(one.cap.amount // 4)} more, now {usd(one.most)}, of which {usd(one.left)} "
            for one in opened
        ]
        said += [one.refusal for one in shut]
        if not opened and not shut:
            said = ["no cap is reached", *(book.stand(cap, month).row for cap in caps)]
        self._owed.append((repository.id, barred.thread, comment, said))
        self.read()
        query = f"SELECT count(*), coalesce(sum(nanos), 0) FROM acknowledgements WHERE comment_id = {comment}"
        [counted] = self.service.rows(query)
        self._same(tuple(map(int, counted)), (len(opened), sum(one.cap.amount // 4 for one in opened)))
        for one in opened:
            self.done[f"a slice of a {one.cap.scope}"] += 1
        if shut and not opened:
            self.done["a slice that is another's"] += 1
        if not opened and not shut:
            self.done["nothing to acknowledge"] += 1
        return bool(opened)

    def spend(self, live: Live, *tokens: int) -> None:
        """Ask the model for answers of so many tokens, one after the other."""
        live.asked += [live.agent.ask(min(count, DEAREST)) for count in tokens]

    def spent(self) -> None:
        """Until every answer is there, and billed."""
        for live in self.live:
            for answer in live.asked:
                assert answer.result(PATIENCE) in (200, 402), self._story()
            live.asked.clear()
        self._invoice()

    def hand_in(self, some: Sequence[Live], broken: Sequence[Live] = ()) -> None:
        """These are over: done, or (also in `some`) broken off with something to go on from."""
        waiting = list(some)
        while waiting:
            # Of one person one at a time: which run crosses three quarters is told by which ends first.
            group = list({live.run.person: live for live in reversed(waiting)}.values())
            waiting = [live for live in waiting if live not in group]
            for live in group:
                if live in broken:
                    live.agent.keep().result(60)
                    live.agent.hand_in(outcome="failed", message="it does not work").result(60)
                else:
                    live.agent.hand_in(outcome="done", summary="It is done.").result(60)
            for live in group:
                self._finished(live, live in broken)

    def _finished(self, live: Live, broken: bool) -> None:
        run = live.run
        columns = "state, reason, month, spent_nanos, estimated_nanos, held_nanos, notice, steps"
        row = self.service.until(
            f"SELECT 1, {columns} FROM runs WHERE id = '{run.id}' AND attempt = {live.attempt} "
            "AND finished_at IS NOT NULL",
            PATIENCE,
        )
        notice = self.book.ended(run, self.people[run.person])
        self._did(f"{run.id} of {run.name} has ended: {row[1]} {row[2]}, {usd(run.spent)} {notice}")
        self._same(tuple(row[3:9]), (run.month, run.spent, 0, 0, notice, run.steps))
        said = "failed" if broken else "done"
        assert (row[1], row[2]) in ((said, None), ("halted", "cost_ceiling"), ("halted", "stopped")), (
            self._story()
        )
        run.halted = row[1] == "halted"
        if run.halted:
            self.done[f"halted: {row[2]}"] += 1
        self.live.remove(live)
        if broken:
            self.broken.append(Broken(run, live.thread, live.attempt))
        if notice:
            self.done["a notice"] += 1
            if run.month != self.month():
                self.done["a notice about the month before"] += 1
            self._report(run, live, notice)

    # -- in line --

    def wait(self, person: Named, repository: Named, line: str, cost: int) -> Waiting:
        """A launch that finds no room on a line: it holds nothing until it is let in."""
        self._keep_up()
        github = self.github[repository.id]
        thread = github.issue(person.name, "A task")
        words = f"/agent fix cost=${cost / DOLLAR:.2f} line={line}"
        comment = github.comment(person.name, thread, words)
        self._did(f"{person.name} in {repository.name}#{thread}: {words} (and waits)")
        row = self._until(f"SELECT id, state, ceiling_nanos FROM runs WHERE comment_id = {comment}", comment)
        self._same(tuple(row[1:]), ("queued", cost))
        person.before.add(person.name.lower())
        repository.before.add(repository.name.lower())
        return Waiting(row[0], person, repository, line, cost, thread)

    def let_in(self, waiting: Waiting) -> Live:
        """There is room by now: it counts in the month of this moment, under what is left of it."""
        book, month = self.book, self.month()
        caps = book.caps(waiting.person, waiting.repository, waiting.line)
        expected = book.fit(caps, month, waiting.cost)
        assert isinstance(expected, Granted), self._story()
        columns, there = "1, month, ceiling_nanos, clamps", f"id = '{waiting.id}' AND state <> 'queued'"
        row = self.service.until(f"SELECT {columns} FROM runs WHERE {there}", PATIENCE)
        clamps = [expected.clamp] if expected.clamp else []
        self._same((row[1], row[2], json.loads(row[3])), (month, expected.ceiling, clamps))
        self._opened(expected, clamps)
        self.done["let in"] += 1
        run = book.launched(
            waiting.id, waiting.person, waiting.repository, waiting.line, month, expected.ceiling
        )
        live = Live(run, self.agents.of(run.id, 1, PATIENCE), waiting.thread)
        self.live.append(live)
        return live

    # -- new names --

    def rename_person(self, person: Named, to: str) -> None:
        self.service.github.rename_user(person.name, to)
        self._did(f"{person.name} is called {to}")
        person.name = to

    def rename_repository(self, repository: Named, to: str) -> None:
        self.github[repository.id].rename_repository(to)
        self._did(f"{repository.name} is called {to}")
        repository.name = self.github[repository.id].repo

    # -- whoever runs the service --

    def obey(self, rules: Rules, zone: str) -> None:
        """The service is started anew with another policy."""
        self.book.rules = rules
        (self.service.folder / "service.yml").write_text(policy(rules, zone))
        for worker in self.service.workers:
            worker.kill()
            worker.wait()
        self.service.workers.clear()
        self.service.worker("-m", "tests.month.worker")
        self._did("another policy")

    def _operator(self) -> AbstractContextManager[Services]:
        """As `python -m bot pause` has it, but by the moved clock."""
        env = self.service.env
        return services.opened(settings.read(env), "pause", sql(env["DATABASE_URL"]))

    def pause(self, repository: Named, person: Named) -> Broken:
        """Nothing runs there for a while: what runs is halted, what is asked for is refused."""
        live = self.launch(person, repository, cost=2 * DOLLAR)
        assert live is not None, self._story()
        live.agent.keep().result(PATIENCE)
        self.spend(live, 20_000)
        self.spent()
        with self._operator() as operator:
            operator.switch.pause(repository.name, "ops", "the month's end")
        self._did(f"{repository.name} is paused")
        github = self.github[repository.id]
        thread = github.issue(self.ada.name, "Another")
        comment = github.comment(self.ada.name, thread, "/agent fix")
        query = f"SELECT reason, message FROM refusals WHERE comment_id = {comment}"
        reason, message = self._until(query, comment)
        assert reason == "paused", self._story()
        assert message.endswith(": the month's end"), message
        live.agent.hand_in(outcome="halted", reason="stopped").result(PATIENCE)
        self._finished(live, broken=True)
        with self._operator() as operator:
            assert operator.switch.unpause(repository.name, "ops"), self._story()
        self.done["paused"] += 1
        return self.broken[-1]
