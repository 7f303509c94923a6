import { pooled } from "./pool.mjs";

/** [{ name, picture }] for each name, in their order; `load(name)` brings a picture. */
export async function gallery(names, load, limit = 4) {
  const pictures = (await pooled(names, limit, load)).sort();
  return names.map((name, index) => ({ name, picture: pictures[index] }));
}
