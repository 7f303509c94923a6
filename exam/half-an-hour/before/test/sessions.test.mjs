import assert from "node:assert/strict";
import test from "node:test";
import { Cache } from "../src/cache.mjs";
import { Sessions } from "../src/sessions.mjs";

const MINUTE = 60_000;

function clock() {
  const at = { now: 1_000_000 };
  return [() => at.now, (more) => (at.now += more)];
}

test("an entry is forgotten after its life", () => {
  const [now, wait] = clock();
  const cache = new Cache(now);
  cache.put("a", 1, 500);
  wait(499);
  assert.equal(cache.get("a"), 1);
  wait(1);
  assert.equal(cache.get("a"), undefined);
});

test("a session lasts half an hour", () => {
  const [now, wait] = clock();
  const sessions = new Sessions(now);
  sessions.signIn("t", "ada");
  wait(29 * MINUTE);
  assert.equal(sessions.who("t"), "ada");
  wait(31 * MINUTE);
  assert.equal(sessions.who("t"), undefined);
});
