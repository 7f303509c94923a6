import assert from "node:assert/strict";
import test from "node:test";
import { daily, tomorrow } from "../src/reminders.mjs";
import { ahead } from "../src/zones.mjs";

const at = (text) => new Date(text);

test("how far a zone is ahead", () => {
  assert.equal(ahead(at("2026-01-15T12:00:00Z"), "Europe/Berlin"), 60);
  assert.equal(ahead(at("2026-07-15T12:00:00Z"), "Europe/Berlin"), 120);
  assert.equal(ahead(at("2026-01-15T12:00:00Z"), "America/New_York"), -300);
});

test("an ordinary day", () => {
  assert.deepEqual(tomorrow(at("2026-05-04T06:00:00Z"), "Europe/Berlin"), at("2026-05-05T06:00:00Z"));
});

test("the day on which summer time begins", () => {
  assert.deepEqual(tomorrow(at("2026-03-28T07:00:00Z"), "Europe/Berlin"), at("2026-03-29T06:00:00Z"));
});

test("three days over it", () => {
  assert.deepEqual(daily(at("2026-03-27T07:00:00Z"), "Europe/Berlin", 3), [
    at("2026-03-28T07:00:00Z"),
    at("2026-03-29T06:00:00Z"),
    at("2026-03-30T06:00:00Z"),
  ]);
});
