import assert from "node:assert/strict";
import test from "node:test";
import { Cache } from "../src/cache.mjs";
import { Invitations } from "../src/invitations.mjs";
import { Sessions } from "../src/sessions.mjs";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

function clock() {
  const at = { now: 5 };
  return [() => at.now, (more) => (at.now += more)];
}

test("the cache counts in milliseconds", () => {
  const [now, wait] = clock();
  const cache = new Cache(now);
  cache.put("a", 1, 500);
  wait(500);
  assert.equal(cache.get("a"), undefined);
});

test("a session that is looked at goes on", () => {
  const [now, wait] = clock();
  const sessions = new Sessions(now);
  sessions.signIn("t", "ada");
  for (let each = 0; each < 5; each += 1) {
    wait(20 * MINUTE);
    assert.equal(sessions.who("t"), "ada");
  }
  wait(30 * MINUTE);
  assert.equal(sessions.who("t"), undefined);
});

test("an invitation is good for seven days", () => {
  const [now, wait] = clock();
  const invitations = new Invitations(now);
  invitations.invite("c", "bob@example.org");
  wait(7 * DAY - 1);
  assert.equal(invitations.accept("c"), "bob@example.org");
  wait(1);
  assert.equal(invitations.accept("c"), undefined);
});

test("or for as many as were said", () => {
  const [now, wait] = clock();
  const invitations = new Invitations(now);
  invitations.invite("c", "bob@example.org", 1);
  wait(DAY - 1);
  assert.equal(invitations.accept("c"), "bob@example.org");
  wait(1);
  assert.equal(invitations.accept("c"), undefined);
});
