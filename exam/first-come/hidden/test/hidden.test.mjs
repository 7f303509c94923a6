import assert from "node:assert/strict";
import test from "node:test";
import { gallery } from "../src/gallery.mjs";
import { pooled } from "../src/pool.mjs";

const turn = () => new Promise((soon) => setImmediate(soon));

test("names in no order of their own", async () => {
  const names = ["zoe", "adam", "mia", "ben"];
  const left = new Map();
  const made = gallery(names, (name) => new Promise((arrive) => left.set(name, arrive)));
  for (const name of ["ben", "zoe", "mia", "adam"]) {
    left.get(name)(name.toUpperCase());
    await turn();
  }
  assert.deepEqual(
    (await made).map(({ name, picture }) => `${name} ${picture}`),
    ["zoe ZOE", "adam ADAM", "mia MIA", "ben BEN"],
  );
});

test("at most so many at a time, and as many as that", async () => {
  let running = 0;
  const seen = [];
  const results = await pooled([5, 3, 1, 4, 2, 0], 2, async (turns) => {
    running += 1;
    seen.push(running);
    for (let each = 0; each < turns; each += 1) await turn();
    running -= 1;
    return turns * 10;
  });
  assert.deepEqual(results, [50, 30, 10, 40, 20, 0]);
  assert.equal(Math.max(...seen), 2);
});

test("the same item twice", async () => {
  let calls = 0;
  const results = await pooled(["x", "x", "x"], 3, async (item) => {
    const call = calls;
    calls += 1;
    for (let each = 3; each > call; each -= 1) await turn();
    return `${item}${call}`;
  });
  assert.deepEqual(results, ["x0", "x1", "x2"]);
});

test("results that are undefined keep their place", async () => {
  const results = await pooled([1, 2, 3], 3, async (item) => (item === 2 ? undefined : item));
  assert.deepEqual(results, [1, undefined, 3]);
});

test("a failure is told", async () => {
  await assert.rejects(pooled([1, 2], 2, async (item) => {
    if (item === 2) throw new Error("gone");
    return item;
  }), /gone/);
});
