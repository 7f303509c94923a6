// Work on many things, some of them side by side.

/** The results of `work(item)` for each item, in the order of the items; at most `limit` at a time. */
export async function pooled(items, limit, work) {
  const results = new Array(items.length);
  let next = 0;
  async function worker() {
    while (next < items.length) {
      const index = next;
      next += 1;
      results[index] = await work(items[index]);
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
