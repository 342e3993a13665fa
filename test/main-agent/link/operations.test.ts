import { describe, expect, it } from 'vitest';
import { operationLifeMs, operationsMax } from '#main-agent/link/limits.ts';
import { OperationLog } from '#main-agent/link/operations.ts';
import { SallyportError } from '#shared/error.ts';
import { notBegun } from '#shared/link/asker.ts';

function buildLog() {
  const time = { ms: 0 };
  const log = new OperationLog({ now: () => time.ms, monotonic: () => time.ms });
  return { log, time };
}
const request = (op: number, name = 'a') => ({ verb: 'fs.make-folder', params: { op, path: [name] } });

describe('the operation log', () => {
  it('answers an operation sent again with what it came to, good or bad, and does it once', async () => {
    const { log } = buildLog();
    let done = 0;
    const act = async () => ({ count: (done += 1) });
    expect(await log.run('s', request(1), act)).toEqual({ count: 1 });
    expect(await log.run('s', request(1), act)).toEqual({ count: 1 });
    const fail = async () => {
      done += 1;
      throw new SallyportError('exists', 'It exists');
    };
    await expect(log.run('s', request(2), fail)).rejects.toMatchObject({ code: 'exists' });
    await expect(log.run('s', request(2), fail)).rejects.toMatchObject({ code: 'exists' });
    expect(done).toBe(2);
  });

  it('lets the second wait for the first while it is being done', async () => {
    const { log } = buildLog();
    let finish = (_value: string): void => undefined;
    let done = 0;
    const act = () => {
      done += 1;
      return new Promise<string>((resolve) => {
        finish = resolve;
      });
    };
    const both = [log.run('s', request(1), act), log.run('s', request(1), act)];
    finish('made');
    expect(await Promise.all(both)).toEqual(['made', 'made']);
    expect(done).toBe(1);
  });

  it('does again what was never begun, because nobody waited for it', async () => {
    const { log } = buildLog();
    await expect(log.run('s', request(1), () => Promise.reject(notBegun()))).rejects.toMatchObject({
      code: 'deadline',
    });
    expect(await log.run('s', request(1), async () => 'made')).toBe('made');
  });

  it('keeps sessions apart, and refuses a number used for something else', async () => {
    const { log } = buildLog();
    let done = 0;
    const act = async () => (done += 1);
    await log.run('s', request(1), act);
    await log.run('t', request(1), act);
    expect(done).toBe(2);
    expect(() => log.run('s', request(1, 'b'), act)).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    );
  });

  it('forgets what is done after its time, and what is still being done never', async () => {
    const { log, time } = buildLog();
    let runs = 0;
    const done = async () => (runs += 1);
    let slowRuns = 0;
    const slow = () => {
      slowRuns += 1;
      return new Promise(() => undefined);
    };
    void log.run('s', request(0), slow);
    await log.run('s', request(1), done);
    time.ms = operationLifeMs;
    await log.run('s', request(2), done);
    expect(await log.run('s', request(1), done)).toBe(1);
    time.ms += 1;
    await log.run('s', request(3), done);
    expect(log.size).toBe(3);
    expect(await log.run('s', request(1), done)).toBe(4);
    void log.run('s', request(0), slow);
    expect(slowRuns).toBe(1);
  });

  it('forgets what failed after its time, as what went well', async () => {
    const { log, time } = buildLog();
    const fail = () => Promise.reject(new SallyportError('exists', 'It exists'));
    await expect(log.run('s', request(1), fail)).rejects.toMatchObject({ code: 'exists' });
    time.ms = operationLifeMs + 1;
    await log.run('s', request(2), async () => 'done');
    expect(log.size).toBe(1);
  });

  it('drops eight that are due with each new one: more than come, and no work to speak of', async () => {
    const { log, time } = buildLog();
    for (let op = 0; op < 20; op += 1) await log.run('s', request(op), async () => 'done');
    time.ms = operationLifeMs + 1;
    const sizes: number[] = [];
    for (let op = 20; op < 24; op += 1) {
      await log.run('s', request(op), async () => 'done');
      sizes.push(log.size);
    }
    expect(sizes).toEqual([20 - 8 + 1, 13 - 8 + 1, 6 - 4 + 1, 4]);
  });

  it('S-09: keeps no more than its bound and nothing longer than its time, but never drops what is being done', async () => {
    const { log, time } = buildLog();
    let runs = 0;
    const slow = () => {
      runs += 1;
      return new Promise(() => undefined);
    };
    void log.run('s', request(0), slow);
    for (let op = 1; op < operationsMax + 100; op += 1) await log.run('s', request(op), async () => op);
    expect(log.size).toBeLessThanOrEqual(operationsMax);
    void log.run('s', request(0), slow);
    expect(runs).toBe(1);
    time.ms = operationLifeMs + 1;
    for (let op = 1; op < operationsMax; op += 1) await log.run('t', request(op), async () => op);
    time.ms *= 2;
    for (let op = 0; op < operationsMax; op += 1) await log.run('u', request(op), async () => op);
    void log.run('s', request(0), slow);
    expect(runs).toBe(1);
  });
});
