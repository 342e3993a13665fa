import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '#shared/secret.ts';
import { buildRecordedLog } from '#test/main-agent/notify/recorded-log.ts';
import { playedBook } from '#test/harness/played-vault.ts';
import { buildRig, buildUser, cheapHash, password, refusal, withFactor, type Rig } from './rig.ts';

/** A password whose hash is another system's, at the first sign-in and after it. */

let rig: Rig;
const recorded = buildRecordedLog();
/** Shorter than a new one may be. */
const old = 'opensesam3';
const foreign = execFileSync('/usr/bin/mkpasswd', ['-m', 'bcrypt', '-R', '4', old], { encoding: 'utf8' });

beforeEach(async () => {
  rig = await buildRig({ log: recorded.log });
  rig.users.set(
    'frank',
    buildUser('frank', { passwordHash: await rig.login.passwords.takeOver(new Secret(foreign)) }),
  );
});
afterEach(() => rig.close());

const storedName = (): string => rig.users.get('frank')?.passwordHash?.expose() ?? '';
const stored = (): string | undefined => playedBook.find(storedName());
const rehashed = () => rig.state.audit.filter(({ event }) => event === 'account.password-rehashed');

describe('a password whose hash is another system’s', () => {
  it('signs in as it always did, stands as plain argon2id from then on, and the session goes on', async () => {
    const view = await rig.begin('frank', { password: old });
    expect(stored()).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await rig.answer(view)).toMatchObject({ outcome: 'admitted' });
    expect(rig.login.sessions.list()).toHaveLength(1);
    expect(rehashed()).toMatchObject([{ user: 'frank', outcome: 'ok' }]);
    expect(await rig.begin('frank', { password: old })).toMatchObject({ next: 'admit' });
    expect(rehashed()).toHaveLength(1);
  });

  it('lets in all who sign in at the same moment, and none of them ends another', async () => {
    const views = await Promise.all([1, 2, 3].map(() => rig.begin('frank', { password: old })));
    for (const view of views) expect(await rig.answer(view)).toMatchObject({ outcome: 'admitted' });
    expect(rig.login.sessions.list()).toHaveLength(3);
    expect(rehashed()).toHaveLength(1);
  });

  it('stays what it is when it is typed wrong, or the account is shut', async () => {
    const before = stored();
    await refusal(rig.begin('frank', { password: `${old}!` }));
    await rig.change('frank', { status: 'disabled' });
    await refusal(rig.begin('frank', { password: old }));
    await refusal(rig.begin('frank', { password: old, protocol: 'sftp' }));
    await refusal(rig.begin('frank', { password: `${old}123456`, protocol: 'sftp' }));
    expect(stored()).toBe(before);
  });

  it('is replaced by what stands before the code, too', async () => {
    await rig.enrol('frank');
    await rig.change('frank', withFactor({ requiredOn: ['sftp'], sftpPasswordWithCode: true }));
    await rig.begin('frank', { password: old + rig.code('frank'), protocol: 'sftp' });
    expect(stored()).toMatch(/^\$argon2id\$/);
    expect(await rig.begin('frank', { password: old })).toMatchObject({ next: 'admit' });
  });

  it('never takes the place of a password that an admin set meanwhile', async () => {
    const other = new Secret(cheapHash(password));
    rig.beforeWrite = () => rig.change('frank', { passwordHash: other });
    expect((await refusal(rig.begin('frank', { password: old }))).code).toBe('refused');
    expect(storedName()).toBe(other.expose());
  });

  it('signs in also where the file can not be written, which the log tells', async () => {
    const before = stored();
    rig.beforeWrite = () => Promise.reject(new Error('read-only file system'));
    expect(await rig.answer(await rig.begin('frank', { password: old }))).toMatchObject({
      outcome: 'admitted',
    });
    expect(stored()).toBe(before);
    expect(recorded.lines.join('\n')).toContain('could not be replaced');
  });
});
