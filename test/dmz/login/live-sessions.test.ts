import { describe, expect, it } from 'vitest';
import { attachTrustMs, liveSessionsMax } from '#dmz/login/limits.ts';
import { LiveSessions } from '#dmz/login/live-sessions.ts';
import type { SessionView } from '#shared/link/messages.ts';
import { sessionKey } from '#shared/random-id.ts';

const client = { ip: '192.0.2.7', port: 1, agent: '' };
const view = (session: string, protocol: 'https' | 'sftp' = 'https', displayName = session) =>
  ({ session, protocol, displayName }) as SessionView;

function build() {
  let nowMs = 0;
  const sessions = new LiveSessions({ now: () => nowMs, monotonic: () => nowMs });
  return { sessions, wait: (ms: number) => (nowMs += ms) };
}

describe('sessions a worker has met', () => {
  it('are used unasked from the address main was asked with, for half a minute', () => {
    const { sessions, wait } = build();
    const kept = sessions.keep(view('a'), client);
    wait(attachTrustMs);
    expect(sessions.findTrusted('a', client)).toBe(kept);
    expect(sessions.findTrusted('a', { ...client, ip: '192.0.2.8' })).toBeUndefined();
    expect(sessions.findTrusted('b', client)).toBeUndefined();
    wait(1);
    expect(sessions.findTrusted('a', client)).toBeUndefined();
  });

  it('that main gives again are the same ones with fresher facts', () => {
    const { sessions } = build();
    const kept = sessions.keep(view('a'), client);
    const moved = { ...client, ip: '192.0.2.8' };
    expect(sessions.keep(view('a', 'https', 'New name'), moved)).toBe(kept);
    expect(kept.view.displayName).toBe('New name');
    expect(sessions.findTrusted('a', moved)).toBe(kept);
    expect(sessions.findTrusted('a', client)).toBeUndefined();
  });

  it('end once, and are unknown then', () => {
    const { sessions } = build();
    const kept = sessions.keep(view('a'), client);
    sessions.end(sessionKey('b'), 'kicked');
    expect(kept.controller.signal.aborted).toBe(false);
    sessions.end(sessionKey('a'), 'kicked');
    expect(kept.controller.signal.aborted).toBe(true);
    expect(sessions.findTrusted('a', client)).toBeUndefined();
    expect(sessions.keep(view('a'), client)).not.toBe(kept);
  });

  it('S-09: are so many; the web session that was used longest ago is forgotten, one of SFTP never', () => {
    const { sessions } = build();
    sessions.keep(view('sftp', 'sftp'), client);
    for (let count = 1; count < liveSessionsMax; count += 1) sessions.keep(view(`web ${count}`), client);
    sessions.keep(view('web 1'), client);
    const isThere = (id: string) => sessions.findTrusted(id, client) !== undefined;
    expect(['sftp', 'web 1', 'web 2', 'web 3'].filter(isThere)).toEqual(['sftp', 'web 1', 'web 2', 'web 3']);
    sessions.keep(view('one more'), client);
    expect(['sftp', 'web 1', 'web 2', 'web 3'].filter(isThere)).toEqual(['sftp', 'web 1', 'web 3']);
  });
});
