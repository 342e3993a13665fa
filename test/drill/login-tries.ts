import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Authenticator } from '#scripts/demonstration/codes.ts';
import type { AssertionClaims } from '#shared/assertion/claims.ts';
import { isSallyportError } from '#shared/error.ts';
import type { ChallengeView, Params } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';
import { type EvilDmz, evilClient, type EvilNode } from '#test/harness/evil-dmz.ts';
import { waitUntil } from '#test/harness/product.ts';
import { erinSignsForAnother } from '#test/harness/signing-user.ts';
import { GotThrough, requireOneOf, requireRefusal, summarize, type Try } from './try.ts';

/** Tries to sign somebody in: without a code, with one that was used, with an assertion that says something else. */

const mailMs = 20_000;
/** Enough for a few hashes on a busy machine. */
const hashMs = 30_000;
/** Does not wait for a turn, of which there is one in ten seconds once they are throttled. */
const impatientMs = 8_000;

/** `admitted`, `again` with its reason, or the code of the error. */
export async function send(evil: EvilNode, params: Params<'login.assert'>): Promise<string> {
  try {
    const result = await evil.request('login.assert', params);
    return result.outcome === 'again' ? result.reason : result.outcome;
  } catch (error) {
    return isSallyportError(error) ? error.code : String(error);
  }
}

/** Who really signs in, with a code if one is asked; the id of the session. */
export async function signIn(
  evil: EvilDmz,
  user: string,
  changes: Partial<Params<'login.begin'>> = {},
  node: EvilNode = evil,
): Promise<string> {
  const challenge = await evil.begin(user, changes, node);
  const { protocol = 'https', listener = 'https' } = changes;
  const params = await evil.assert(challenge, {
    ...(challenge.next === 'code' && { code: await evil.authenticator(user).next() }),
    changes: { protocol, listener },
    node,
  });
  const result = await node.request('login.assert', params);
  if (result.outcome !== 'admitted') throw new Error(`the honest login of ${user} came to ${result.reason}`);
  return result.view.session;
}

/** An assertion with a fresh code of a user nobody met, something of it changed before it is signed. */
async function changed(
  evil: EvilDmz,
  changes: Readonly<Record<string, unknown>>,
  options: Partial<Parameters<EvilDmz['assert']>[1]> = {},
): Promise<string> {
  const user = 'alice';
  const challenge = await evil.begin(user);
  const code = evil.authenticator(user).now();
  const assertion = { code, ...options, changes: changes as Partial<AssertionClaims> };
  return send(evil, await evil.assert(challenge, assertion));
}

async function refuseChanges(
  evil: EvilDmz,
  all: readonly Readonly<Record<string, unknown>>[],
): Promise<string> {
  const refusals: string[] = [];
  for (const one of all)
    refusals.push(requireOneOf(JSON.stringify(one), await changed(evil, one), ['refused']));
  return `${all.length} × ${summarize(refusals)}`;
}

const factors: readonly Try[] = [
  {
    id: 'no-code',
    attack: 'signs a user in who needs a code, without one',
    wall: 'S-01-code',
    run: async (evil) =>
      requireOneOf('no code', await send(evil, await evil.assert(await evil.begin('alice'), {})), [
        'refused',
      ]),
  },
  {
    id: 'said-not-due',
    attack: 'says that no code was due: a lease, a remembered device, a trusted network',
    wall: 'S-01-code',
    run: async (evil) => {
      const refusals: string[] = [];
      for (const method of ['lease', 'device', 'trusted-network', 'none'] as const) {
        const params = await evil.assert(await evil.begin('alice'), { changes: { method } });
        refusals.push(requireOneOf(method, await send(evil, params), ['refused']));
      }
      return summarize(refusals);
    },
  },
  {
    id: 'wrong-code',
    attack: 'sends a code that is wrong, or no code at all by its form',
    wall: 'S-01-code',
    run: async (evil) => {
      const user = evil.person();
      const refusals: string[] = [];
      for (const code of ['000000', '', '00000', '0000000', '٠٠٠٠٠٠', '0x0000', '1e5000', '-12345']) {
        const params = await evil.assert(await evil.begin(user), { code });
        refusals.push(
          requireOneOf(JSON.stringify(code), await send(evil, params), ['wrong-code', 'refused']),
        );
      }
      return summarize(refusals);
    },
  },
  {
    id: 'other-code-signed',
    attack: 'sends another code than the one that the assertion was signed for',
    wall: 'S-01-code',
    run: async (evil) => {
      const user = evil.person();
      const code = await evil.authenticator(user).next();
      const params = await evil.assert(await evil.begin(user), { code: '000000' });
      return requireOneOf('a code beside the commitment', await send(evil, { ...params, code }), ['refused']);
    },
  },
  {
    id: 'far-code',
    attack: 'sends codes of earlier and later minutes, and the later one again in its time',
    wall: 'S-01-code',
    run: async (evil) => {
      const user = evil.person();
      const refusals: string[] = [];
      const now = Math.floor(Date.now() / 30_000);
      for (const step of [now - 20, now - 3, now + 3, now + 20]) {
        const code = evil.authenticator(user).at(step);
        const params = await evil.assert(await evil.begin(user), { code });
        refusals.push(
          requireOneOf(`step ${step - now}`, await send(evil, params), ['wrong-code', 'clock-drift']),
        );
      }
      return summarize(refusals);
    },
  },
  {
    id: 'code-again',
    attack: 'shows a code again that signed its user in, at both nodes',
    wall: 'S-03-once',
    run: async (evil) => {
      const user = evil.person();
      const code = await evil.authenticator(user).next();
      const first = await evil.assert(await evil.begin(user), { code });
      if ((await send(evil, first)) !== 'admitted') throw new Error('the code must be good');
      const link = await evil.freshLink();
      const refusals: string[] = [];
      for (const node of [evil, link]) {
        const challenge = await evil.begin(user, {}, node);
        refusals.push(
          requireOneOf(node.name, await send(node, await evil.assert(challenge, { code, node })), [
            'used-code',
          ]),
        );
      }
      return summarize(refusals);
    },
  },
  {
    id: 'code-in-parallel',
    attack: 'shows one code in many logins at once',
    wall: 'S-03-once',
    run: async (evil) => {
      const user = evil.person();
      const challenges = await Promise.all([1, 2, 3, 4].map(() => evil.begin(user)));
      const code = await evil.authenticator(user).next();
      const params = await Promise.all(challenges.map((challenge) => evil.assert(challenge, { code })));
      // The last one twice at once, too.
      const outcomes = await Promise.all([...params, ...params.slice(-1)].map((one) => send(evil, one)));
      const admitted = outcomes.filter((one) => one === 'admitted').length;
      if (admitted > 1) throw new GotThrough(`${admitted} sessions by one code`);
      if (admitted === 0) throw new Error('the code must be good once');
      return summarize(outcomes.filter((one) => one !== 'admitted'));
    },
  },
  {
    id: 'mailed-code-elsewhere',
    attack: 'uses a code that was mailed for a login at one node in a login at another',
    wall: 'S-01-code',
    run: async (evil) => {
      const before = mailsOf(evil).length;
      await evil.begin('bob');
      await waitUntil(() => mailsOf(evil).length > before, mailMs);
      const code = mailedCode(evil);
      const node = await evil.freshLink();
      const challenge = await evil.begin('bob', {}, node);
      const params = await evil.assert(challenge, { code, changes: { method: 'email' }, node });
      return requireOneOf('the code of dmz1 at dmz2', await send(node, params), ['wrong-code']);
    },
  },
  {
    id: 'lease-elsewhere',
    attack: 'rides a lease that a user earned, at another node, by another client or from another address',
    wall: 'S-01-lease',
    run: async (evil) => {
      const user = evil.person();
      const sftp = { protocol: 'sftp', listener: 'sftp' } as const;
      await signIn(evil, user, sftp);
      const again = await evil.begin(user, sftp);
      if (again.admitAs !== 'lease') throw new Error('its own client must ride it');
      const others = [
        ['another node', sftp, await evil.freshLink()],
        ['another client', { ...sftp, client: { ...evilClient, agent: 'evil/2' } }, evil],
        ['another address', { ...sftp, client: { ...evilClient, ip: '198.51.100.9' } }, evil],
        ['the web', {}, evil],
      ] as const;
      const refusals: string[] = [];
      for (const [what, changes, node] of others) {
        const challenge = await evil.begin(user, changes, node);
        if (challenge.next !== 'code')
          throw new GotThrough(`${what}: ${challenge.admitAs ?? challenge.next}`);
        const claims = { protocol: 'https', listener: 'https', ...changes, method: 'lease' } as const;
        const client = 'client' in changes ? changes.client : evilClient;
        const { protocol, listener, method } = claims;
        const params = await evil.assert(challenge, {
          changes: { protocol, listener, method, client_ip: client.ip, agent: client.agent },
          node,
        });
        refusals.push(requireOneOf(what, await send(node, params), ['refused']));
      }
      return `asked for a code, then ${summarize(refusals)}`;
    },
  },
  {
    id: 'stolen-device',
    attack:
      'shows the cookie of a remembered browser at another node and for another user, and again after it was replaced',
    wall: 'S-01-device',
    run: async (evil) => {
      const user = evil.person();
      const code = await evil.authenticator(user).next();
      const asked = await evil.assert(await evil.begin(user), { code });
      const remembered = await evil.request('login.assert', { ...asked, rememberDevice: true });
      const stolen = remembered.outcome === 'admitted' ? (remembered.device?.value ?? '') : '';
      const second = await useDevice(evil, user, stolen);
      const present = await useDevice(evil, user, second);
      const refusals: string[] = [];
      for (const [what, who, device, node] of [
        ['another node', user, present, await evil.freshLink()],
        ['another user', evil.person(), present, evil],
        ['the replaced one', user, stolen, evil],
        ['both holders afterwards', user, present, evil],
      ] as const) {
        const challenge = await evil.begin(who, { device }, node);
        if (challenge.next !== 'code')
          throw new GotThrough(`${what}: ${challenge.admitAs ?? challenge.next}`);
        const params = await evil.assert(challenge, { changes: { method: 'device' }, node });
        refusals.push(requireOneOf(what, await send(node, params), ['refused']));
      }
      return `asked for a code, then ${summarize(refusals)}`;
    },
  },
  {
    id: 'signature-of-another-server',
    attack:
      'shows an SSH signature that a user made on a server of its own, and has main sign that key exchange afterwards',
    wall: 'S-01-signature',
    run: async (evil) => {
      const { factor, exchange } = await erinSignsForAnother(evil.files.erinKey);
      const [hostKey] = evil.link.hostKeys;
      if (hostKey === undefined) throw new Error('main told no host key');
      const show = (): Promise<unknown> => evil.begin('erin', { protocol: 'sftp', listener: 'sftp', factor });
      const sign = (one: typeof exchange): Promise<unknown> =>
        evil.request('hostkey.sign', { algorithm: 'ssh-ed25519', isFirst: true, exchange: one });
      const refusals = [
        await requireRefusal('the signature', show(), 'refused'),
        await requireRefusal('that exchange signed', sign(exchange), 'not-found'),
      ];
      // With main's key in it, it is another exchange.
      await sign({ ...exchange, hostKey: hostKey.blob });
      refusals.push(await requireRefusal('the signature afterwards', show(), 'refused'));
      return summarize(refusals);
    },
  },
  {
    id: 'codes-until-locked',
    attack: 'guesses codes after a password that it has seen, spread over nodes, doors and addresses',
    wall: 'S-13-lock',
    run: async (evil) => {
      const user = evil.person();
      const link = await evil.freshLink();
      for (let tries = 0; tries < 10; tries += 1) {
        const node = tries % 2 === 0 ? evil : link;
        const client = { ...evilClient, ip: `198.51.100.${tries}` };
        const protocol = tries % 3 === 0 ? ('sftp' as const) : ('https' as const);
        const challenge = await evil.begin(user, { client, protocol, listener: protocol }, node);
        const changes = { client_ip: client.ip, protocol, listener: protocol };
        const outcome = await send(node, await evil.assert(challenge, { code: '000000', changes, node }));
        requireOneOf(`guess ${tries}`, outcome, ['wrong-code']);
      }
      const params = await evil.assert(await evil.begin(user), {
        code: await evil.authenticator(user).next(),
      });
      return requireOneOf('the right code after ten wrong ones', await send(evil, params), ['rate-limited']);
    },
  },
  {
    id: 'passwords-without-end',
    attack: 'guesses passwords of one user, from another address each time',
    wall: 'S-13-guesses',
    run: async (evil) => {
      const user = evil.person();
      const guess = (number: number, timeoutMs: number): Promise<string> =>
        evil.link
          .request(
            'login.begin',
            {
              user,
              protocol: 'https',
              listener: 'https',
              client: { ...evilClient, ip: `2001:db8:${number.toString(16)}::1` },
              factor: { type: 'password', password: `guess number ${number}` },
            },
            { timeoutMs },
          )
          .then(
            () => 'admitted',
            (error: unknown) => (isSallyportError(error) ? error.code : String(error)),
          );
      const heard: string[] = [];
      for (let start = 0; start < 20; start += 4)
        heard.push(...(await Promise.all([0, 1, 2, 3].map((more) => guess(start + more, hashMs)))));
      heard.push(...(await Promise.all([100, 101, 102, 103].map((number) => guess(number, impatientMs)))));
      if (!heard.includes('rate-limited')) throw new GotThrough(`${heard.length} guesses were looked at`);
      return summarize(heard);
    },
  },
  {
    id: 'who-exists',
    attack: 'learns from the refusal whether a name is somebody’s, whose password is wrong',
    wall: 'S-07-one-refusal',
    run: async (evil) => {
      const heard: string[] = [];
      for (const user of ['carol', 'nobody-of-that-name', 'alice', 'erin'])
        heard.push(
          await evil
            .begin(user, { factor: { type: 'password', password: 'not the password of anybody' } })
            .then(
              () => 'admitted',
              (error: unknown) =>
                isSallyportError(error) ? `${error.code}: ${error.publicMessage}` : String(error),
            ),
        );
      if (new Set(heard).size > 1) throw new GotThrough(summarize(heard));
      return requireOneOf('a wrong password', heard[0]?.split(':')[0] ?? '', ['refused']);
    },
  },
];

const assertions: readonly Try[] = [
  {
    id: 'claims-of-the-record',
    attack: 'changes one claim that repeats what main recorded, and signs it again',
    wall: 'S-01-claims',
    run: (evil) =>
      refuseChanges(evil, [
        { sub: 'frank' },
        { amr: ['key', 'otp'] },
        { amr: ['pwd'] },
        { method: 'recovery' },
        { method: 'email' },
        { method: 'none' },
        { protocol: 'sftp' },
        { client_port: 4712 },
        { listener: 'sftp' },
        { agent: 'evil/2' },
        { client_ip: '127.0.0.2' },
      ]),
  },
  {
    id: 'claims-of-the-challenge',
    attack: 'signs for another challenge, or another nonce of the same one',
    wall: 'S-01-challenge',
    run: (evil) => refuseChanges(evil, [{ challenge: randomId() }, { nonce: randomId() }]),
  },
  {
    id: 'claims-of-the-purpose',
    attack: 'signs for another purpose, main or issuer',
    wall: 'S-01-claims',
    run: (evil) =>
      refuseChanges(evil, [
        { purpose: 'enrol' },
        { purpose: 'password' },
        { iss: 'dmz2' },
        { aud: 'main2' },
        { code_commit: randomBytes(32).toString('base64url') },
      ]),
  },
  {
    id: 'other-link',
    attack: 'sends an assertion that was made for another link, of its own node or of another',
    wall: 'S-01-link',
    run: async (evil) => {
      const elsewhere = await (await evil.freshLink()).binding();
      return refuseChanges(evil, [{ link: elsewhere.exporter }, { link: randomId() }]);
    },
  },
  {
    id: 'other-nodes-key',
    attack: 'signs with the key of another node, which main trusts',
    wall: 'S-01-key',
    run: async (evil) => {
      const { signingKey } = await evil.freshLink();
      return requireOneOf('the key of dmz2', await changed(evil, {}, { signingKey }), ['refused']);
    },
  },
  {
    id: 'retired-key',
    attack: 'signs with a key of its own that was rotated out, whose overlap is over',
    wall: 'S-01-retired-key',
    run: async (evil) => {
      const user = evil.person();
      const params = await evil.assert(await evil.begin(user), {
        code: await evil.authenticator(user).next(),
        signingKey: evil.retiredKey,
      });
      return requireOneOf('the key of before', await send(evil, params), ['refused']);
    },
  },
  {
    id: 'crossed-users',
    attack: 'finishes as one user what it began as another, or over another protocol',
    wall: 'S-01-claims',
    run: async (evil) => {
      const asFrank = await evil.begin('frank');
      const code = evil.authenticator('alice').now();
      const crossed = await evil.assert(await evil.begin('alice'), { code });
      const refusals = [
        requireOneOf('as frank', await send(evil, { ...crossed, challenge: asFrank.challenge }), ['refused']),
      ];
      const sftp = await evil.begin('alice', { protocol: 'sftp', listener: 'sftp' });
      const asHttps = await evil.assert(sftp, { code: evil.authenticator('alice').now() });
      refusals.push(requireOneOf('begun over SFTP', await send(evil, asHttps), ['refused']));
      return summarize(refusals);
    },
  },
  {
    id: 'other-nodes-challenge',
    attack: 'finishes at one node what was begun at another',
    wall: 'S-01-challenge',
    run: async (evil) => {
      const node = await evil.freshLink();
      const challenge = await evil.begin('alice');
      const code = evil.authenticator('alice').now();
      const params = await evil.assert(challenge, { code, node });
      return requireOneOf('at dmz2', await send(node, params), ['refused', 'challenge-gone']);
    },
  },
  {
    id: 'old-or-early',
    attack: 'signs two minutes ago, or two minutes from now',
    wall: 'S-01-form',
    run: async (evil) => {
      const refusals: string[] = [];
      for (const awayMs of [-120_000, 120_000])
        refusals.push(
          requireOneOf(`${awayMs} ms`, await changed(evil, {}, { signedAtMs: Date.now() + awayMs }), [
            'refused',
          ]),
        );
      return summarize(refusals);
    },
  },
  {
    id: 'other-spelling',
    attack: 'flips bits of a good assertion, pads it, takes its signature or its algorithm away',
    wall: 'S-01-form',
    run: async (evil) => {
      const refusals: string[] = [];
      for (const spoil of spoilers) {
        const challenge = await evil.begin('alice');
        const params = await evil.assert(challenge, { code: evil.authenticator('alice').now() });
        const spoiled = { ...params, assertion: spoil(params.assertion) };
        refusals.push(requireOneOf(spoil.name, await send(evil, spoiled), ['refused']));
      }
      return `${spoilers.length} × ${summarize(refusals)}`;
    },
  },
  {
    id: 'assertion-again',
    attack: 'sends an assertion a second time while its challenge lives',
    wall: 'S-03-assertion',
    run: async (evil) => {
      const user = evil.person();
      const params = await evil.assert(await evil.begin(user), { code: '000000' });
      requireOneOf('the first time', await send(evil, params), ['wrong-code']);
      const again = await send(evil, params);
      if (again === 'wrong-code') throw new GotThrough('it was judged twice');
      return requireOneOf('the second time', again, ['refused']);
    },
  },
  {
    id: 'after-the-end',
    attack: 'goes on with a challenge that was used, or given up',
    wall: 'S-01-challenge',
    run: async (evil) => {
      const user = evil.person();
      const challenge = await evil.begin(user);
      const good = await evil.assert(challenge, { code: await evil.authenticator(user).next() });
      if ((await send(evil, good)) !== 'admitted') throw new Error('the honest login must work');
      const used = await evil.assert(challenge, { code: await evil.authenticator(user).next() });
      const refusals = [requireOneOf('used', await send(evil, used), ['challenge-gone', 'refused'])];
      const given = await evil.begin('alice');
      await evil.request('login.cancel', { challenge: given.challenge });
      const late = await evil.assert(given, { code: evil.authenticator('alice').now() });
      refusals.push(requireOneOf('given up', await send(evil, late), ['challenge-gone', 'refused']));
      return summarize(refusals);
    },
  },
];

const setups: readonly Try[] = [
  {
    id: 'setup-over-a-factor',
    attack: 'sets up a second factor in a session of somebody who has one',
    wall: 'S-01-setup',
    run: async (evil) => {
      const session = await signIn(evil, evil.person());
      return requireRefusal(
        'enrol.start',
        evil.request('enrol.start', { session }),
        'not-allowed',
        'already-enrolled',
      );
    },
  },
  {
    id: 'setup-not-proven',
    attack: 'proves a set-up that was not begun or not confirmed, or with a secret of its own',
    wall: 'S-01-setup',
    run: async (evil) => {
      const session = await signIn(evil, 'dave');
      const refusals = [
        await requireRefusal(
          'not begun',
          evil.request('enrol.confirm', { session }),
          'setup-not-started',
          'setup-expired',
        ),
      ];
      await evil.request('enrol.start', { session });
      refusals.push(
        await requireRefusal(
          'not confirmed',
          evil.request('enrol.resume', { session }),
          'setup-not-confirmed',
        ),
      );
      const begun = await evil.request('enrol.confirm', { session });
      // Of an authenticator that is not the one that main made.
      const code = evil.authenticator('alice').now();
      const proven = await evil.request('enrol.prove', await proveSetup(evil, session, 'dave', begun, code));
      if (proven.outcome === 'enrolled') throw new GotThrough('enrolled with another secret');
      return summarize([...refusals, proven.reason]);
    },
  },
  {
    id: 'setup-of-another-session',
    attack: 'confirms and proves in one session the set-up that another session of the same user began',
    wall: 'S-01-setup',
    run: async (evil) => {
      const [own, other] = [await signIn(evil, 'dave'), await signIn(evil, 'dave')];
      const { secret } = await evil.request('enrol.start', { session: own });
      const refusals = [
        await requireRefusal(
          'not confirmed',
          evil.request('enrol.confirm', { session: other }),
          'setup-expired',
        ),
      ];
      const begun = await evil.request('enrol.confirm', { session: own });
      const proof = await proveSetup(evil, other, 'dave', begun, new Authenticator(secret).now());
      refusals.push(
        await requireRefusal('confirmed', evil.request('enrol.resume', { session: other }), 'setup-expired'),
        await requireRefusal('proven', evil.request('enrol.prove', proof), 'setup-expired'),
      );
      return summarize(refusals);
    },
  },
];

/** Asks with the cookie of a remembered browser, as its owner: the one that replaces it. */
async function useDevice(evil: EvilDmz, user: string, device: string): Promise<string> {
  const challenge = await evil.begin(user, { device });
  if (challenge.admitAs !== 'device') throw new Error('its own browser must be known');
  const params = await evil.assert(challenge, { changes: { method: 'device' } });
  const result = await evil.request('login.assert', params);
  const next = result.outcome === 'admitted' ? result.device?.value : undefined;
  if (next === undefined) throw new Error('its cookie must be replaced');
  return next;
}

/** What proves a confirmed set-up by this code. */
export async function proveSetup(
  evil: EvilDmz,
  session: string,
  username: string,
  { challenge, nonce }: Pick<ChallengeView, 'challenge' | 'nonce'>,
  code: string,
): Promise<Params<'enrol.prove'>> {
  const view = { challenge, nonce, username, expiresInMs: 0, next: 'code' } as const;
  const { assertion, salt = '' } = await evil.assert(view, { code, changes: { purpose: 'enrol' } });
  return { session, assertion, code, salt };
}

/** The only six digits of the last mail. */
function mailedCode(evil: EvilDmz): string {
  const mail = readFileSync(join(evil.files.mail, mailsOf(evil).at(-1) ?? ''), 'utf8');
  return /\b\d{6}\b/.exec(mail.slice(mail.indexOf('text/plain')))?.[0] ?? '';
}

/** Each makes another assertion of it that a lax reader might take. */
const spoilers: readonly ((assertion: string) => string)[] = [
  function flipsTheHeader(assertion) {
    return flip(assertion, 0);
  },
  function flipsAClaim(assertion) {
    return flip(assertion, 1);
  },
  function flipsTheSignature(assertion) {
    return flip(assertion, 2);
  },
  function pads(assertion) {
    return `${assertion}=`;
  },
  function hasNoSignature(assertion) {
    return `${assertion.slice(0, assertion.lastIndexOf('.'))}.`;
  },
  function hasNoAlgorithm(assertion) {
    const [head = '', ...rest] = assertion.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
    return [Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url'), ...rest].join('.');
  },
  function bringsItsOwnKey(assertion) {
    const [head = '', ...rest] = assertion.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
    return [Buffer.from(JSON.stringify({ ...header, jwk: {} })).toString('base64url'), ...rest].join('.');
  },
];

function flip(assertion: string, part: number): string {
  const parts = assertion.split('.').map((one) => Buffer.from(one, 'base64url'));
  const bytes = parts[part];
  const middle = bytes === undefined ? 0 : bytes.length >> 1;
  if (bytes !== undefined) bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  return parts.map((one) => one.toString('base64url')).join('.');
}

function mailsOf(evil: EvilDmz): string[] {
  return readdirSync(evil.files.mail)
    .filter((name) => name.endsWith('.eml'))
    .toSorted();
}

export const loginTries: readonly Try[] = [...factors, ...assertions, ...setups];
