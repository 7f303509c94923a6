import { Cache } from "./cache.mjs";

const LIFE = 30 * 60 * 1000; // half an hour

/** Who is signed in. Each look at a session makes it last for another half an hour. */
export class Sessions {
  #cache;

  constructor(now) {
    this.#cache = new Cache(now);
  }

  signIn(token, user) {
    this.#cache.put(token, user, LIFE);
  }

  who(token) {
    const user = this.#cache.get(token);
    if (user !== undefined) this.#cache.put(token, user, LIFE);
    return user;
  }
}
