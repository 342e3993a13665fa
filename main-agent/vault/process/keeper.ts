import { randomBytes } from 'node:crypto';
import { matchingSteps } from '#main-agent/two-factor/totp.ts';
import { groupByFour, makeBypassCode, makeRecoveryCode } from '#main-agent/two-factor/typed-codes.ts';
import { totpSecretBytes } from '#main-agent/two-factor/limits.ts';
import { HashBook } from '#main-agent/users/hash-book.ts';
import type { AnswerOf, AskVault, RequestOf, VaultHandlers } from '#main-agent/vault/calls.ts';
import { askLocally } from '#main-agent/vault/channel.ts';
import { keptSetupsMax, readUsersMs } from '#main-agent/vault/limits.ts';
import { BoundedMap } from '#shared/bounded-map.ts';
import { readSecretFile } from '#shared/config/file-path.ts';
import { SallyportError } from '#shared/error.ts';
import { randomId } from '#shared/random-id.ts';
import { Secret } from '#shared/secret.ts';
import { Sealer } from './sealing.ts';
import { buildHashHandlers, type HashOptions } from './hash-handlers.ts';

/**
 * What the vault's process does for main. It holds the key and what is not stored yet, and no more: what is in force
 * and what is spent, main says and main's state decides.
 *
 * Trust: whoever asks may be somebody in main's place. No answer has a secret that was confirmed.
 */

type SealedEnrolment = RequestOf<'renew'>['enrolment'];

interface KeptSetup {
  readonly owner: string;
  readonly secret: Secret<Buffer>;
  isProven: boolean;
}

/** Secrets that are shown and not stored. Who begins again and again loses their own, and nobody else's. */
class KeptSetups {
  readonly #kept = new Map<string, KeptSetup>();
  readonly #ofOwner = new BoundedMap<string>(keptSetupsMax, (setup) => void this.#kept.delete(setup));

  begin(owner: string, secret: Secret<Buffer>): string {
    const setup = randomId();
    this.#kept.delete(this.#ofOwner.get(owner) ?? '');
    this.#ofOwner.set(owner, setup);
    this.#kept.set(setup, { owner, secret, isProven: false });
    return setup;
  }

  end(setup: string): void {
    const owner = this.#kept.get(setup)?.owner;
    this.#kept.delete(setup);
    if (owner !== undefined) this.#ofOwner.delete(owner);
  }

  prove({ setup, code, nowMs, settings }: RequestOf<'prove'>): AnswerOf<'prove'> {
    const kept = this.#kept.get(setup);
    if (kept === undefined) return { step: null, isKnown: false };
    const [step] = matchingSteps(kept.secret, new Secret(code), nowMs, settings.skewSteps, settings);
    if (step !== undefined) kept.isProven = true;
    return { step: step ?? null, isKnown: true };
  }

  /** Rejects `not-found` for what is not proven, or somebody else's. */
  take(setup: string, owner: string): Secret<Buffer> {
    const kept = this.#kept.get(setup);
    if (kept?.isProven === true && kept.owner === owner) return kept.secret;
    throw new SallyportError('not-found', 'This set-up is over; start again', {
      detail: 'a set-up that is not known to the vault, or not proven',
    });
  }
}

/** What is sealed for main itself belongs to no user: a user's name has no such form. */
const ownOwner = 'acme';

interface KeeperOptions extends HashOptions {
  /** As it is in its file now. Rejects `config`. */
  readonly readKey: () => Promise<Secret<Buffer>>;
}

export function buildKeeper({ readKey, ...hashOptions }: KeeperOptions): VaultHandlers {
  const { random } = hashOptions;
  const hashes = buildHashHandlers(hashOptions, () => key());
  let held: Sealer | undefined;
  const setups = new KeptSetups();
  const key = (): Sealer => {
    if (held !== undefined) return held;
    throw new SallyportError('busy', 'Nobody can be signed in at the moment', {
      detail: 'the vault is not open',
    });
  };

  /** A fresh set of recovery codes and the secret, for one enrolment. */
  function make(secret: Secret<Buffer>, owner: string, id: string, count: number) {
    const codes = Array.from({ length: count }, () => makeRecoveryCode(random));
    return {
      secret: key().seal(secret, owner, id),
      recoveryCodes: codes.map((code) => key().fingerprint(new Secret(code), 'recovery', owner, id)),
      shown: codes.map(groupByFour),
    };
  }

  return {
    ...hashes.handlers,

    open: async ({ expected }) => {
      const sealer = new Sealer(await readKey(), random);
      if (expected !== undefined && sealer.id !== expected)
        throw new SallyportError('config', 'The vault key is another one than when main started', {
          detail: 'the file of the vault key was changed',
          hint: 'Put the key back, or restart main-agent to take the new one.',
        });
      held = sealer;
      // Main reads no file again that is as it was. Looked for at a login, a hash would tell by the time whose name is one.
      if (expected !== undefined) await atMost(hashes.readUsers(), readUsersMs);
      return { keyId: sealer.id, deliveredKey: sealer.deliveredKey.expose().toString('base64url') };
    },

    opens: async ({ samples }) => ({ opened: samples.map((one) => isOpened(key(), one)) }),

    'examine-file': async ({ samples }) => {
      const sealer = new Sealer(await readKey(), random);
      return { opened: samples.map((one) => isOpened(sealer, one)), isHeld: sealer.id === held?.id };
    },

    verify: async ({ owner, code: text, totp, recovery, bypass }) => {
      const code = new Secret(text);
      const steps =
        totp === undefined
          ? []
          : matchingSteps(
              openEnrolment(key(), owner, totp.enrolment),
              code,
              totp.nowMs,
              totp.reachSteps,
              totp.settings,
            );
      return {
        steps,
        recovery: findRecovery(key(), owner, code, recovery),
        bypass: isBypass(key(), owner, code, bypass),
      };
    },

    'begin-setup': async ({ owner }) => {
      const secret = random(totpSecretBytes);
      return { setup: setups.begin(owner, new Secret(secret)), secret: secret.toString('base64url') };
    },

    'end-setup': async ({ setup }) => {
      setups.end(setup);
      return {};
    },

    prove: async (request) => setups.prove(request),

    enrol: async ({ owner, id, recoveryCodes, from }) => {
      const secret =
        'imported' in from
          ? new Secret(Buffer.from(from.imported, 'base64url'))
          : setups.take(from.setup, owner);
      return make(secret, owner, id, recoveryCodes);
    },

    renew: async ({ owner, enrolment, id, recoveryCodes }) =>
      make(openEnrolment(key(), owner, enrolment), owner, id, recoveryCodes),

    rename: async ({ owner, to, enrolment }) => {
      const codesFor = enrolment.codesFor ?? owner;
      const secret = openEnrolment(key(), owner, enrolment);
      return { secret: key().seal(secret, to, boundTo({ id: enrolment.id, codesFor })), codesFor };
    },

    'make-bypass': async ({ owner }) => {
      const code = makeBypassCode(random);
      return { code: groupByFour(code), id: key().fingerprint(new Secret(code), 'bypass', owner, '') };
    },

    'seal-own': async ({ id, plain }) => ({
      sealed: key().seal(new Secret(Buffer.from(plain)), ownOwner, id),
    }),

    'open-own': async ({ id, sealed }) => ({
      plain: key().open(sealed, ownOwner, id).expose().toString('utf8'),
    }),
  };
}

/** It goes on where it takes longer. */
async function atMost(work: Promise<void>, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work, promise]).finally(() => clearTimeout(timer));
}

/** Without a process: for a program that ends soon, and is not main. */
export function askKeyFile(
  keyFile: string,
  {
    credentials,
    book = new HashBook(),
  }: { readonly credentials?: string | undefined; readonly book?: HashBook } = {},
): AskVault {
  const readKey = (): Promise<Secret<Buffer>> => readSecretFile(keyFile, credentials);
  const nowhere = { directory: '/nonexistent', lastGoodDirectory: '/nonexistent' };
  return askLocally(buildKeeper({ readKey, random: randomBytes, book, users: nowhere }));
}

function isOpened(sealer: Sealer, { owner, enrolment }: RequestOf<'opens'>['samples'][number]): boolean {
  try {
    openEnrolment(sealer, owner, enrolment);
    return true;
  } catch {
    return false;
  }
}

/** Rejects as `Sealer.open` does, also where somebody made the file say that its codes are another name's. */
function openEnrolment(sealer: Sealer, owner: string, enrolment: SealedEnrolment): Secret<Buffer> {
  return sealer.open(enrolment.secret, owner, boundTo(enrolment));
}

/** What a secret is sealed for, beside its user's name. */
function boundTo({ id, codesFor }: Pick<SealedEnrolment, 'id' | 'codesFor'>): string {
  return codesFor === undefined ? id : `${id} ${codesFor}`;
}

function findRecovery(
  sealer: Sealer,
  owner: string,
  code: Secret,
  recovery: RequestOf<'verify'>['recovery'],
): string | null {
  if (recovery === undefined) return null;
  const { enrolment, recoveryCodes } = recovery;
  // The open seal says that these codes may be compared under another name.
  openEnrolment(sealer, owner, enrolment);
  const fingerprint = sealer.fingerprint(code, 'recovery', enrolment.codesFor ?? owner, enrolment.id);
  return recoveryCodes.includes(fingerprint) ? fingerprint : null;
}

function isBypass(sealer: Sealer, owner: string, code: Secret, bypass: string | undefined): boolean {
  return bypass !== undefined && sealer.fingerprint(code, 'bypass', owner, '') === bypass;
}
