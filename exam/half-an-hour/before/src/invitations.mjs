import { Cache } from "./cache.mjs";

const DAY = 24 * 60 * 60;

/** Invitations by code; each is good for some days. */
export class Invitations {
  #cache;

  constructor(now) {
    this.#cache = new Cache(now);
  }

  invite(code, address, days = 7) {
    this.#cache.put(code, address, days * DAY);
  }

  accept(code) {
    return this.#cache.get(code);
  }
}
