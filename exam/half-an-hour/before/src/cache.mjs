/** Values that are forgotten after a while. */
export class Cache {
  #entries = new Map();
  #now;

  /** `now()` gives the time in milliseconds. */
  constructor(now = Date.now) {
    this.#now = now;
  }

  /** Keep a value for `life` milliseconds. */
  put(key, value, life) {
    this.#entries.set(key, { value, until: this.#now() + life });
  }

  /** The value, or undefined when there is none or its time is over. */
  get(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#now() >= entry.until) {
      this.#entries.delete(key);
      return undefined;
    }
    return entry.value;
  }
}
