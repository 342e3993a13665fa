import { pressHoldMsMax, pressSettleMs } from '#dmz/web/limits.ts';

/**
 * Whether a button of the mouse, or a finger, is down. What is pressed on one thing and let go on another is no click
 * for a browser, so a list that moved its rows in between would swallow it: it is redrawn afterwards.
 */
export class Press {
  #downAtMs: number | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;
  #waiting: (() => void)[] = [];

  constructor(browser: Pick<Window, 'addEventListener'>) {
    const begin = (): void => {
      clearTimeout(this.#settling);
      this.#downAtMs = performance.now();
    };
    // The click is dispatched after this, a finger's a little later.
    const settle = (): void => {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.#end(), pressSettleMs);
    };
    browser.addEventListener('pointerdown', begin, true);
    browser.addEventListener('pointerup', settle, true);
    // A drag, or a finger that scrolls.
    browser.addEventListener('pointercancel', settle, true);
  }

  /** Resolves at once when nothing is down, else when it is let go, or has been held for too long to be a click. */
  async released(): Promise<void> {
    if (this.#downAtMs === undefined) return;
    const leftMs = pressHoldMsMax - (performance.now() - this.#downAtMs);
    if (leftMs <= 0) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      setTimeout(resolve, leftMs);
    });
  }

  #end(): void {
    this.#downAtMs = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
