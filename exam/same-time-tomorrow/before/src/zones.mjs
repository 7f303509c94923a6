const MINUTE = 60_000;

/** How many minutes the clocks of `zone` are ahead of UTC at the instant `at` (a Date). */
export function ahead(at, zone) {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(at);
  const read = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
  const shown = Date.UTC(read.year, read.month - 1, read.day, read.hour, read.minute, read.second);
  return Math.round((shown - Math.floor(at.getTime() / 1000) * 1000) / MINUTE);
}
