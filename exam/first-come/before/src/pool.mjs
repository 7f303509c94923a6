// Work on many things, some of them side by side.

/** The results of `work(item)` for each item, in the order of the items; at most `limit` at a time. */
export async function pooled(items, limit, work) {
  const results = [];
  const waiting = [...items];
  async function worker() {
    while (waiting.length > 0) {
      const item = waiting.shift();
      results.push(await work(item));
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
