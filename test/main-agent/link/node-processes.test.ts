import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { processAwayMaxMs } from '#main-agent/link/limits.ts';
import { NodeProcesses } from '#main-agent/link/node-processes.ts';

describe('a process of a node', () => {
  let processes: NodeProcesses;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    processes = new NodeProcesses();
  });
  afterEach(() => vi.useRealTimers());

  it('lives over as many links as it takes, and never mind how long the present one is up', () => {
    const { gone } = processes.join(0, 'a');
    for (let link = 0; link < 5; link += 1) {
      processes.lose(0);
      vi.advanceTimersByTime(processAwayMaxMs - 1);
      expect(processes.join(0, 'a')).toEqual({ gone, replaced: false });
    }
    vi.advanceTimersByTime(10 * processAwayMaxMs);
    expect(gone.aborted).toBe(false);
  });

  it('is gone when another one answers in its place, and no other worker with it', () => {
    const first = processes.join(0, 'a');
    const other = processes.join(1, 'b');
    processes.lose(0);
    const second = processes.join(0, 'c');
    expect(second.replaced).toBe(true);
    expect([first, other, second].map(({ gone }) => gone.aborted)).toEqual([true, false, false]);
    // One that was given up before is another process by then, whatever it says.
    const again = processes.join(0, 'a');
    expect(again.gone.aborted).toBe(false);
    expect(second.gone.aborted).toBe(true);
  });

  it('lives on when it comes back, however often it was lost meanwhile', () => {
    const { gone } = processes.join(0, 'a');
    processes.lose(0);
    vi.advanceTimersByTime(1);
    processes.lose(0);
    processes.join(0, 'a');
    vi.advanceTimersByTime(10 * processAwayMaxMs);
    expect(gone.aborted).toBe(false);
  });

  it('is gone when it stays away too long, told at the first loss and not at each try', () => {
    const { gone } = processes.join(0, 'a');
    processes.lose(0);
    vi.advanceTimersByTime(processAwayMaxMs - 1);
    processes.lose(0);
    expect(gone.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(gone.aborted).toBe(true);
    const back = processes.join(0, 'a');
    expect(back.gone.aborted).toBe(false);
    expect(back.replaced).toBe(false);
  });

  it('is given up at each loss anew, not only at the first', () => {
    const { gone } = processes.join(0, 'a');
    processes.lose(0);
    processes.join(0, 'a');
    processes.lose(0);
    vi.advanceTimersByTime(processAwayMaxMs - 1);
    expect(gone.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(gone.aborted).toBe(true);
  });

  it('that never said its hello is none that could be lost', () => {
    processes.lose(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that was dropped is waited for no longer, and who comes in its place replaces nobody', () => {
    processes.join(1, 'a');
    processes.lose(1);
    processes.drop(1);
    expect(vi.getTimerCount()).toBe(0);
    expect(processes.join(1, 'b').replaced).toBe(false);
  });

  it('is gone when the node names its worker no more, and stays when main itself lets go', () => {
    const dropped = processes.join(1, 'a');
    processes.drop(1);
    expect(dropped.gone.aborted).toBe(true);
    const kept = processes.join(0, 'b');
    processes.lose(0);
    processes.close();
    vi.advanceTimersByTime(10 * processAwayMaxMs);
    expect(kept.gone.aborted).toBe(false);
  });
});
