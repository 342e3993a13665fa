import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pressHoldMsMax, pressSettleMs } from '#dmz/web/limits.ts';
import { Press } from '#dmz/web/state/press.ts';

let browser: EventTarget;
let press: Press;
beforeEach(() => {
  vi.useFakeTimers();
  browser = new EventTarget();
  press = new Press(browser);
});
afterEach(() => {
  vi.useRealTimers();
});
const happen = (type: string): boolean => browser.dispatchEvent(new Event(type));
async function isReleased(): Promise<boolean> {
  let released = false;
  void press.released().then(() => (released = true));
  await vi.advanceTimersByTimeAsync(0);
  return released;
}

describe('a redraw', () => {
  it('waits for nothing where nothing is pressed', async () => {
    expect(await isReleased()).toBe(true);
  });

  for (const end of ['pointerup', 'pointercancel'])
    it(`waits for what is pressed, until a moment after ${end}`, async () => {
      happen('pointerdown');
      const drawn = vi.fn<() => void>();
      void press.released().then(drawn);
      happen(end);
      await vi.advanceTimersByTimeAsync(pressSettleMs - 1);
      expect(drawn).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(drawn).toHaveBeenCalledOnce();
      expect(await isReleased()).toBe(true);
    });

  it('waits for the second of two clicks too', async () => {
    happen('pointerdown');
    happen('pointerup');
    await vi.advanceTimersByTimeAsync(pressSettleMs - 1);
    happen('pointerdown');
    await vi.advanceTimersByTimeAsync(pressSettleMs);
    expect(await isReleased()).toBe(false);
  });

  it('does not wait for what is held too long to be a click', async () => {
    happen('pointerdown');
    const drawn = vi.fn<() => void>();
    void press.released().then(drawn);
    await vi.advanceTimersByTimeAsync(pressHoldMsMax - 1);
    expect(drawn).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(drawn).toHaveBeenCalledOnce();
    expect(await isReleased()).toBe(true);
  });
});
