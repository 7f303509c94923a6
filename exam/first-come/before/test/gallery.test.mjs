import assert from "node:assert/strict";
import test from "node:test";
import { gallery } from "../src/gallery.mjs";

/** A loader whose pictures arrive when the test says so. */
function loader() {
  const asked = new Map();
  return {
    load: (name) => new Promise((arrive) => asked.set(name, () => arrive(`picture of ${name}`))),
    async arrives(name) {
      asked.get(name)();
      await new Promise((soon) => setImmediate(soon));
    },
  };
}

const shown = (...names) => names.map((name) => ({ name, picture: `picture of ${name}` }));

test("nothing to show", async () => {
  assert.deepEqual(await gallery([], () => assert.fail()), []);
});

test("pictures that arrive in order", async () => {
  const { load, arrives } = loader();
  const made = gallery(["a", "b"], load);
  await arrives("a");
  await arrives("b");
  assert.deepEqual(await made, shown("a", "b"));
});

test("a picture that arrives late stands under its own name", async () => {
  const { load, arrives } = loader();
  const made = gallery(["a", "b", "c"], load);
  await arrives("c");
  await arrives("a");
  await arrives("b");
  assert.deepEqual(await made, shown("a", "b", "c"));
});
