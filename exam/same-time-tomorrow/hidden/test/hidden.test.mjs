import assert from "node:assert/strict";
import test from "node:test";
import { daily, tomorrow } from "../src/reminders.mjs";
import { ahead } from "../src/zones.mjs";

const at = (text) => new Date(text);

test("summer time ends", () => {
  assert.deepEqual(tomorrow(at("2026-10-24T06:00:00Z"), "Europe/Berlin"), at("2026-10-25T07:00:00Z"));
});

test("where the clocks are moved by half an hour", () => {
  const zone = "Australia/Lord_Howe"; // UTC+11 in summer, UTC+10:30 in winter
  assert.deepEqual(tomorrow(at("2026-04-03T21:00:00Z"), zone), at("2026-04-04T21:30:00Z"));
  assert.deepEqual(tomorrow(at("2026-10-02T21:30:00Z"), zone), at("2026-10-03T21:00:00Z"));
});

test("the southern half, and behind UTC", () => {
  assert.deepEqual(tomorrow(at("2026-03-07T13:00:00Z"), "America/New_York"), at("2026-03-08T12:00:00Z"));
  assert.deepEqual(tomorrow(at("2026-04-03T21:00:00Z"), "Australia/Sydney"), at("2026-04-04T22:00:00Z"));
});

test("a zone that never changes", () => {
  assert.deepEqual(tomorrow(at("2026-03-28T07:00:00Z"), "Asia/Kolkata"), at("2026-03-29T07:00:00Z"));
});

test("every day of a year at the same time of day", () => {
  const zone = "Europe/Berlin";
  for (const due of daily(at("2026-01-01T07:00:00Z"), zone, 364)) {
    const minutes = due.getTime() / 60_000 + ahead(due, zone);
    assert.equal(((minutes % 1440) + 1440) % 1440, 8 * 60);
  }
});
