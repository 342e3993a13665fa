import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { defaultTotpSettings, stepAt, totpCodeAt } from '#main-agent/two-factor/totp.ts';
import type { AskVault } from '#main-agent/vault/calls.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import { buildKeeper } from '#main-agent/vault/process/keeper.ts';
import { askLocally } from '#main-agent/vault/channel.ts';
import { keptSetupsMax } from '#main-agent/vault/limits.ts';
import { Secret } from '#shared/secret.ts';
import { playedBook, playKeeper } from '#test/harness/played-vault.ts';
import { makeUsersFolder } from '../../users/users-folder.ts';

const id = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const otherId = '01ARZ3NDEKTSV4RRFFQ69G5FAW';
const nowMs = Date.UTC(2026, 10, 30);
const settings = { ...defaultTotpSettings };
const secret = Buffer.from('a secret that counts');

let key: Buffer;
let ask: AskVault;
beforeEach(async () => {
  key = randomBytes(32);
  ask = open();
  await ask('open', {});
});

function open(): AskVault {
  return askLocally(playKeeper(async () => new Secret(key)));
}

const codeOf = (of: Buffer, steps = 0): string =>
  totpCodeAt(new Secret(of), stepAt(nowMs, settings) + steps, settings);
const enrol = () =>
  ask('enrol', { owner: 'alice', id, recoveryCodes: 2, from: { imported: secret.toString('base64url') } });

describe('the keeper of secrets', () => {
  it('answers nothing before it is open', async () => {
    await expect(open()('make-bypass', { owner: 'alice' })).rejects.toMatchObject({ code: 'busy' });
  });

  it('begins anew with the key it had, and with no other', async () => {
    const { keyId, deliveredKey } = await ask('open', {});
    expect(await open()('open', { expected: keyId })).toEqual({ keyId, deliveredKey });
    expect(Buffer.from(deliveredKey, 'base64url')).not.toEqual(key);
    key = randomBytes(32);
    const other = open();
    await expect(other('open', { expected: keyId })).rejects.toMatchObject({ code: 'config' });
    await expect(other('make-bypass', { owner: 'alice' })).rejects.toMatchObject({ code: 'busy' });
  });

  it('S-07: knows all users’ hashes once it begins anew, and looks for none at a login', async () => {
    const password = 'correct horse battery';
    const { stored } = await ask('hash-password', { password });
    const hash = playedBook.find(stored) ?? '';
    await using folder = await makeUsersFolder({ 'alice.yaml': `username: alice\npassword: ${hash}\n` });
    const readKey = async () => new Secret(key);
    const users = { directory: folder.directory, lastGoodDirectory: path.join(folder.base, 'last-good') };
    const book = new HashBook();
    const again = askLocally(buildKeeper({ readKey, random: randomBytes, book, users }));
    await again('open', { expected: (await ask('open', {})).keyId });
    expect(book.find(stored)).toBe(hash);
    const compare = (of: string) => again('compare-password', { password, name: 'alice', stored: of });
    expect(await compare(stored)).toEqual({ isRight: true });
    // Of a file that is another one by now, or of one that came without main: what anybody wrong is told.
    const { stored: later } = await ask('hash-password', { password });
    await folder.write('alice.yaml', `username: alice\npassword: ${playedBook.find(later) ?? ''}\n`);
    expect(await compare(later)).toEqual({ isRight: false });
    expect(book.find(later)).toBeUndefined();
  });

  it('says of the file whether its key is the one that is held, and goes on with that', async () => {
    const { secret: sealed } = await enrol();
    const samples = [{ owner: 'alice', enrolment: { id, secret: sealed } }];
    expect(await ask('examine-file', { samples })).toEqual({ opened: [true], isHeld: true });
    key = randomBytes(32);
    expect(await ask('examine-file', { samples })).toEqual({ opened: [false], isHeld: false });
    expect(await ask('opens', { samples })).toEqual({ opened: [true] });
  });

  it('S-02: nothing that it is asked about a confirmed secret has it in its answer', async () => {
    const made = await enrol();
    const enrolment = { id, secret: made.secret };
    const bypass = await ask('make-bypass', { owner: 'alice' });
    const [fingerprint = ''] = made.recoveryCodes;
    const answers = [
      made,
      await ask('opens', { samples: [{ owner: 'alice', enrolment }] }),
      await ask('examine-file', { samples: [{ owner: 'alice', enrolment }] }),
      await ask('verify', {
        owner: 'alice',
        code: codeOf(secret),
        totp: { enrolment, nowMs, reachSteps: 10, settings },
        recovery: { enrolment, recoveryCodes: [fingerprint] },
        bypass: bypass.id,
      }),
      await ask('renew', { owner: 'alice', enrolment, id: otherId, recoveryCodes: 2 }),
      await ask('rename', { owner: 'alice', to: 'bob', enrolment }),
    ];
    const said = JSON.stringify(answers);
    for (const encoding of ['base64', 'base64url', 'hex', 'latin1'] as const)
      expect(said).not.toContain(secret.toString(encoding));
  });

  it('S-02: main’s own seal opens no enrolment, under whatever name one asks', async () => {
    const { sealed } = await ask('seal-own', { id: 'certificate', plain: 'a key of a certificate' });
    expect(await ask('open-own', { id: 'certificate', sealed })).toEqual({ plain: 'a key of a certificate' });
    await expect(ask('open-own', { id: 'account https://a/', sealed })).rejects.toMatchObject({
      code: 'internal',
    });
    const made = await ask('enrol', {
      owner: 'acme',
      id,
      recoveryCodes: 0,
      from: { imported: secret.toString('base64url') },
    });
    for (const asked of ['certificate', 'account x'])
      await expect(ask('open-own', { id: asked, sealed: made.secret })).rejects.toMatchObject({
        code: 'internal',
      });
    for (const asked of [id, `${id} alice`, 'certificates', ` account`, ''])
      await expect(ask('open-own', { id: asked, sealed: made.secret })).rejects.toMatchObject({
        code: 'bad-request',
      });
  });

  it('who begins set-ups without end costs nobody theirs, and has but the newest', async () => {
    const isKnown = async (setup: string) =>
      (await ask('prove', { setup, code: '000000', nowMs, settings })).isKnown;
    const alices = await ask('begin-setup', { owner: 'alice' });
    const first = await ask('begin-setup', { owner: 'mallory' });
    let newest = first;
    for (let times = 0; times < keptSetupsMax + 1; times += 1)
      newest = await ask('begin-setup', { owner: 'mallory' });
    expect(await isKnown(first.setup)).toBe(false);
    expect(await isKnown(newest.setup)).toBe(true);
    expect(await isKnown(alices.setup)).toBe(true);
    await ask('end-setup', { setup: alices.setup });
    expect(await isKnown(alices.setup)).toBe(false);
    await ask('end-setup', { setup: alices.setup });
  });

  it('S-01: seals nothing of a set-up that no code has proven', async () => {
    const { setup, secret: shown } = await ask('begin-setup', { owner: 'alice' });
    const from = { setup };
    const request = { owner: 'alice', id, recoveryCodes: 1, from };
    await expect(ask('enrol', request)).rejects.toMatchObject({ code: 'not-found' });
    const fresh = Buffer.from(shown, 'base64url');
    const [right, late] = [codeOf(fresh), codeOf(fresh, 2)];
    const wrong =
      ['000000', '111111'].find((code) => ![-1, 0, 1].some((steps) => codeOf(fresh, steps) === code)) ?? '';
    for (const code of [wrong, late])
      expect(await ask('prove', { setup, code, nowMs, settings })).toEqual({ step: null, isKnown: true });
    await expect(ask('enrol', request)).rejects.toMatchObject({ code: 'not-found' });
    expect(await ask('prove', { setup, code: right, nowMs, settings })).toMatchObject({ isKnown: true });
    await expect(ask('enrol', { ...request, owner: 'bob' })).rejects.toMatchObject({ code: 'not-found' });
    const { secret: sealed } = await ask('enrol', request);
    const verified = await ask('verify', {
      owner: 'alice',
      code: right,
      totp: { enrolment: { id, secret: sealed }, nowMs, reachSteps: 0, settings },
    });
    expect(verified.steps).toEqual([stepAt(nowMs, settings)]);
    expect(await ask('prove', { setup: 'x'.repeat(43), code: right, nowMs, settings })).toEqual({
      step: null,
      isKnown: false,
    });
  });
});
