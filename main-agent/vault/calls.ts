import { Secret } from '#shared/secret.ts';
import { z } from 'zod';
import { filesReadTogetherMax } from '#main-agent/users/limits.ts';
import {
  comparedNameMax,
  costsMax,
  passwordBytesMax,
  recoveryCodesMax,
  samplesMax,
  typedCodeMax,
} from './limits.ts';

/**
 * What main may ask of the vault's process (D-155). A table: what is not in it can't be asked, and no row answers with
 * a confirmed secret. Both ends hold each message against it.
 *
 * Trust: neither end trusts the other's bytes; the process knows no user, no session and no clock, main no key.
 */

const owner = z.string().min(1).max(256);
const ulid = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/);
const sealed = z.string().max(2048);
const fingerprint = z.string().max(128);
const typed = z.string().max(typedCodeMax);
const secretText = z.string().max(512);
/** The name of a hash; the hash itself does not leave the process. */
const hashName = z.string().max(1024);
/** One octet more than is looked at, so that what is too long still is. */
const password = z.string().max(passwordBytesMax + 1);
const setup = z.string().length(43);
const nowMs = z.number().int().nonnegative();
const recoveryCodes = z.number().int().min(0).max(recoveryCodesMax);

const totp = z.strictObject({
  digits: z.union([z.literal(6), z.literal(8)]),
  periodSeconds: z.number().int().min(1).max(3600),
  skewSteps: z.number().int().min(0).max(20),
  algorithm: z.enum(['SHA1', 'SHA256', 'SHA512']),
});

/** Of a stored factor, what opens it. The id can only be an enrolment's: what else is sealed has other names. */
const enrolment = z.strictObject({
  id: ulid,
  secret: sealed,
  codesFor: owner.optional(),
});

const sample = z.strictObject({ owner, enrolment });

/** A stored factor as it is to be written, with its new codes as they are shown. */
const made = z.strictObject({
  secret: sealed,
  recoveryCodes: z.array(fingerprint).max(recoveryCodesMax),
  shown: z.array(z.string().max(64)).max(recoveryCodesMax),
});

/** Secrets sealed for main itself: its certificate, its accounts with authorities, host keys of nodes. No enrolment has such an id. */
const ownId = z
  .string()
  .max(2048)
  .regex(/^(certificate$|account |host-key )/);
const plain = z.string().max(128 * 1024);

/** Absolute, or a name in the users folder. */
const file = z.string().min(1).max(4096);
/** SHA-256, base64url; empty of what could not be read. */
const octetsHash = z.string().max(43);
const unshown = {
  hash: octetsHash,
  problem: z.string(),
  hint: z.string(),
  saysDisabled: z.boolean(),
};
const stamp = z.string().max(256);
const shownText = z.union([z.strictObject({ hash: octetsHash, text: z.string() }), z.strictObject(unshown)]);
const readFile = z.union([
  z.strictObject({ hash: octetsHash, text: z.string(), stamp }),
  z.strictObject({ ...unshown, stamp }),
  z.strictObject({ gone: z.literal(true) }),
  z.strictObject({ gone: z.literal(false), why: z.string(), stamp }),
]);

function call<Request extends z.ZodType, Answer extends z.ZodType>(request: Request, answer: Answer) {
  return { request, answer };
}

const table = {
  /**
   * First in each life: reads the key. `expected` is what it said before, as a key that was changed meanwhile is taken by
   * a restart of main alone.
   */
  open: call(
    z.strictObject({ expected: z.string().length(22).optional() }),
    z.strictObject({ keyId: z.string().length(22), deliveredKey: z.string().length(43) }),
  ),
  /** Does the key open them? */
  opens: call(
    z.strictObject({ samples: z.array(sample).max(samplesMax) }),
    z.strictObject({ opened: z.array(z.boolean()).max(samplesMax) }),
  ),
  /** The same of the key that lies in the file now, and whether that is the one that is held. */
  'examine-file': call(
    z.strictObject({ samples: z.array(sample).max(samplesMax) }),
    z.strictObject({ opened: z.array(z.boolean()).max(samplesMax), isHeld: z.boolean() }),
  ),
  /** At which steps near `nowMs`, as which recovery code of `recoveryCodes`, or as the bypass code, this code is right. */
  verify: call(
    z.strictObject({
      owner,
      code: typed,
      totp: z
        .strictObject({ enrolment, nowMs, reachSteps: z.number().int().min(0).max(20), settings: totp })
        .optional(),
      recovery: z
        .strictObject({ enrolment, recoveryCodes: z.array(fingerprint).max(recoveryCodesMax) })
        .optional(),
      bypass: fingerprint.optional(),
    }),
    z.strictObject({
      steps: z.array(z.number().int()).max(64),
      recovery: fingerprint.nullable(),
      bypass: z.boolean(),
    }),
  ),
  /**
   * A fresh secret, said once, to be shown. Nothing is sealed of it before a code has proven it, and then for its owner
   * alone; an earlier one of the same owner is over.
   */
  'begin-setup': call(z.strictObject({ owner }), z.strictObject({ setup, secret: secretText })),
  /** It is saved, or main has no such set-up any more. */
  'end-setup': call(z.strictObject({ setup }), z.strictObject({})),
  /** The step at which the code of a set-up is right. */
  prove: call(
    z.strictObject({ setup, code: typed, nowMs, settings: totp }),
    z.strictObject({ step: z.number().int().nullable(), isKnown: z.boolean() }),
  ),
  /** Seals what was proven, or what an administrator brought from another system. */
  enrol: call(
    z.strictObject({
      owner,
      id: ulid,
      recoveryCodes,
      from: z.union([z.strictObject({ setup }), z.strictObject({ imported: secretText })]),
    }),
    made,
  ),
  /** The same secret under another id, with new codes. */
  renew: call(z.strictObject({ owner, enrolment, id: ulid, recoveryCodes }), made),
  /** The same secret under another name. Codes are known by an HMAC with the name in it: they are kept. */
  rename: call(
    z.strictObject({ owner, to: owner, enrolment }),
    z.strictObject({ secret: sealed, codesFor: owner }),
  ),
  'make-bypass': call(
    z.strictObject({ owner }),
    z.strictObject({ code: z.string().max(64), id: fingerprint }),
  ),
  'seal-own': call(
    z.strictObject({ id: ownId, plain }),
    z.strictObject({ sealed: z.string().max(200 * 1024) }),
  ),
  'open-own': call(
    z.strictObject({ id: ownId, sealed: z.string().max(200 * 1024) }),
    z.strictObject({ plain }),
  ),
  /** `stored: null`: the work of another user's hash, and false. */
  'compare-password': call(
    z.strictObject({ password, name: z.string().max(comparedNameMax), stored: hashName }),
    z.strictObject({ isRight: z.boolean() }),
  ),
  'hash-password': call(z.strictObject({ password }), z.strictObject({ stored: hashName })),
  /** What to store of another system's hash, which may be sealed for the vault. */
  'take-over-hash': call(
    z.strictObject({ foreign: z.string().max(4096) }),
    z.strictObject({ stored: hashName }),
  ),
  /** Why it would not be taken over. */
  'examine-hash': call(
    z.strictObject({ foreign: z.string().max(4096) }),
    z.strictObject({ problem: z.string().max(1024).nullable() }),
  ),
  /** Under which key hashes may be sealed that are on their way here. */
  'box-key': call(z.strictObject({}), z.strictObject({ key: z.string().length(43) })),
  /** As `UserFiles`, of which these are the calls. */
  'read-user-files': call(
    z.strictObject({ files: z.array(file).max(filesReadTogetherMax) }),
    z.strictObject({ files: z.array(readFile).max(filesReadTogetherMax) }),
  ),
  'show-user-texts': call(
    z.strictObject({ texts: z.array(z.string()) }),
    z.strictObject({ texts: z.array(shownText) }),
  ),
  'write-user-file': call(
    z.strictObject({
      file,
      text: z.string(),
      mode: z.number().int().min(0).max(0o777),
      exclusive: z.boolean().optional(),
      replaces: octetsHash.optional(),
    }),
    z.strictObject({ hash: octetsHash }),
  ),
  'apply-user-files': call(
    z.strictObject({
      changes: z.array(
        z.strictObject({
          relative: file,
          text: z.string().optional(),
          oldHash: octetsHash.optional(),
        }),
      ),
    }),
    z.strictObject({ overtaken: z.array(file) }),
  ),
  'finish-apply': call(z.strictObject({}), z.strictObject({ overtaken: z.array(file) })),
  'copy-user-file': call(
    z.strictObject({
      original: z.strictObject({ file, hash: octetsHash, modifiedMs: z.number() }),
      copy: file,
    }),
    z.strictObject({}),
  ),
  /** The costs of the users' hashes, and how many users have each. */
  'imitate-costs': call(
    z.strictObject({
      costs: z.array(z.tuple([z.string().max(512), z.number().int().positive()])).max(costsMax),
    }),
    z.strictObject({}),
  ),
} as const;

type VaultCalls = typeof table;
export type VaultVerb = keyof VaultCalls;

/** Which take as long as a disk takes for thousands of files; all else is answered within `answerMs`. */
export const slowVerbs: ReadonlySet<VaultVerb> = new Set<VaultVerb>(['apply-user-files', 'finish-apply']);

export type RequestOf<V extends VaultVerb> = z.output<VaultCalls[V]['request']>;
export type AnswerOf<V extends VaultVerb> = z.output<VaultCalls[V]['answer']>;

/** The table, so that a row's schemas are its own verb's. */
export const vaultCalls: {
  readonly [V in VaultVerb]: {
    readonly request: z.ZodType<RequestOf<V>>;
    readonly answer: z.ZodType<AnswerOf<V>>;
  };
} = table;

/** Rejects `busy` while the process is away: what was asked then was not looked at. */
export type AskVault = <V extends VaultVerb>(verb: V, request: RequestOf<V>) => Promise<AnswerOf<V>>;

/** The vault, which seals what is main's own. Rejects `busy` while it is away, `internal` for what is not its seal. */
export interface OwnSealer {
  seal(id: string, plain: Secret): Promise<string>;
  open(id: string, sealed: string): Promise<Secret>;
}

export function sealOwn(ask: AskVault): OwnSealer {
  return {
    seal: async (id, secret) => (await ask('seal-own', { id, plain: secret.expose() })).sealed,
    open: async (id, text) => new Secret((await ask('open-own', { id, sealed: text })).plain),
  };
}

/** What main's parts are given of an open vault. */
export interface VaultAccess {
  readonly ask: AskVault;
  /** HMAC key of the codes that main makes and sends itself; it opens nothing and names no other code. */
  readonly deliveredKey: Secret<Buffer>;
  /** Called each time it has begun anew, before anybody else is served: says again what it has to know. */
  onOpened(listener: () => Promise<void>): void;
}

/** The process, as it is put together. Handlers reject with a `SallyportError`; anything else is `internal`. */
export type VaultHandlers = {
  readonly [V in VaultVerb]: (request: RequestOf<V>) => Promise<AnswerOf<V>>;
};
