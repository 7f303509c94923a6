const DAY = 24 * 60 * 60_000;

/** The instant one day later at the same time of day in `zone`, as a Date. */
export function tomorrow(at, zone) {
  return new Date(at.getTime() + DAY);
}

/** The next `count` instants of a daily reminder that was first due at `at`. */
export function daily(at, zone, count) {
  const due = [];
  for (let next = tomorrow(at, zone); due.length < count; next = tomorrow(next, zone)) {
    due.push(next);
  }
  return due;
}
