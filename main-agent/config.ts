import { isPlainElsewhere } from '#main-agent/outbound/plain-http.ts';
import { foldUsername } from '#main-agent/users/username.ts';
import { realpathSync } from 'node:fs';
import path from 'node:path';
import { filePath, pathContextOf, type NamedFile, type PathContext } from '#shared/config/file-path.ts';
import { checkYaml } from '#shared/config/check.ts';
import { configError } from '#shared/config/problem.ts';
import {
  checkConfigFile,
  readConfigFile,
  requireLoaded,
  type Loaded,
  type LoadOptions,
} from '#shared/config/load.ts';
import { ConfigSource } from '#shared/config/reload.ts';
import {
  binLife,
  cidr,
  countWithin,
  dialAddress,
  duration,
  httpUrl,
  keyText,
  listen,
  none,
  onOff,
  plainName,
  size,
  type Listen,
  logLevel,
} from '#shared/config/value-types.ts';
import { z } from 'zod';
import { buildBrandingSchema } from './config-branding.ts';
import { eventFilter, eventMail, eventPatterns } from './config-events.ts';
import { twoFactorSchema } from './config-two-factor.ts';
import { whyNotTold } from './link/policy.ts';
import { whyNoLogo } from './logo.ts';

/** `main-agent.yaml`: the whole policy of the inner node, except the users themselves, who have a folder of their own. */

/** Codes, events and checkpoints leave this machine encrypted, except where an entry says otherwise; `status` tells. */
const allowPlain = z.boolean().default(false);
const encrypted = 'an address starting with https://, or `allow_plain: true` beside it';

function requireEncrypted(
  entry: { readonly url: string; readonly allow_plain: boolean },
  issues: z.RefinementCtx,
): void {
  if (entry.allow_plain || !isPlainElsewhere(entry.url)) return;
  // The address may hold credentials: it is not quoted.
  issues.addIssue({ code: 'custom', path: ['url'], message: encrypted, input: undefined });
}

const encryptedUrl = httpUrl('https', 'http').refine((url) => !isPlainElsewhere(url), {
  error: 'an address starting with https://, or { url: …, allow_plain: true }',
});
const notAnAddress = z.string().regex(/^(?!https?:)/i, { error: 'a file' });
const plainTarget = z
  .strictObject({ url: httpUrl('https', 'http'), allow_plain: z.literal(true) })
  .transform(({ url }) => url);

/** Each is proven by a call to port 80 at each renewal; one installation has a few. */
const certificateNamesMax = 16;
/** http-01 proves single names, no wildcards (RFC 8555 §8.3). */
const certificateName = z
  .string()
  .max(253)
  .regex(
    /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*|[0-9a-f:]*:[0-9a-f:]*)$/,
    {
      error: 'a host name such as files.example.com, in lower case and without *, or an IP address',
    },
  );

/** What a gateway's answer looks like: statuses, and texts of which one stands somewhere in it. */
const answerPatterns = z.strictObject({
  status: z.array(z.number().int().min(200).max(599)).max(32).default([]),
  body: z.array(z.string().min(1).max(256)).max(32).default([]),
});

export function buildMainAgentSchema(context: PathContext) {
  const file = filePath(context);

  const dmzNode = z
    .strictObject({
      name: plainName,
      address: dialAddress,
      identity: keyText,
      signing_key: keyText,
      /** Where its SSH host keys are. */
      host_key: z.enum(['main', 'local']).default('local'),
    })
    .transform((s) => ({
      name: s.name,
      address: s.address,
      identity: s.identity,
      signingKey: s.signing_key,
      hostKey: s.host_key,
    }));

  const users = z
    .strictObject({
      source: z.literal('yaml').default('yaml'),
      directory: file.prefault('users'),
      broken_user_file: z.enum(['keep_last_good', 'refuse']).default('keep_last_good'),
    })
    .prefault({})
    .transform((s) => ({
      source: s.source,
      directory: s.directory,
      /** Owned by the agent, beside the admins' tree. */
      enrolmentsDirectory: path.join(path.dirname(s.directory), 'enrolments'),
      lastGoodDirectory: path.join(path.dirname(s.directory), 'last-good'),
      brokenUserFile: s.broken_user_file,
    }));

  const smtp = z
    .strictObject({
      host: z.string().min(1).max(253),
      port: z.number().int().min(1).max(65_535).default(587),
      tls: z.enum(['starttls', 'implicit', 'none']).default('starttls'),
      name: z
        .string()
        .regex(/^(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$/, {
          error: 'a full host name such as main.example.com',
        })
        .optional(),
      user: z.string().min(1).max(256).optional(),
      password_file: file.optional(),
      from: z
        .string()
        .max(320)
        .regex(/^[^\r\n]*[^\s@<>]+@[^\s@<>]+>?$/, { error: 'a sender such as "Files <files@example.com>"' }),
    })
    .transform((s) => ({
      host: s.host,
      port: s.port,
      tls: s.tls,
      name: s.name,
      user: s.user,
      passwordFile: s.password_file,
      from: s.from,
    }));

  const answer = answerPatterns.prefault({});
  const sms = z
    .strictObject({
      url: z
        .string()
        .max(2048)
        .regex(/^https?:\/\/\S+$/, { error: 'an address starting with https://' }),
      allow_plain: allowPlain,
      method: z.enum(['POST', 'PUT', 'GET']).default('POST'),
      headers: z
        .record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/, { error: 'a header name' }), z.string().max(1024))
        .default({ 'Content-Type': 'application/x-www-form-urlencoded' }),
      body: z
        .string()
        .max(8192)
        .refine((text) => text.includes('{otp_token}'), { error: 'text that contains {otp_token}' })
        .default('To={otp_to}&From={otp_from}&Body=Your+code+is+{otp_token}'),
      username: z.string().max(256).optional(),
      password_file: file.optional(),
      from: z.string().max(64).default(''),
      success: answer,
      failure: answer,
    })
    .superRefine(requireEncrypted)
    .transform((s) => ({
      url: s.url,
      method: s.method,
      headers: s.headers,
      body: s.body,
      success: s.success,
      failure: s.failure,
      username: s.username,
      passwordFile: s.password_file,
      from: s.from,
    }));

  const acme = z
    .strictObject({
      directory: httpUrl('https').transform((text) => new URL(text)),
      email: z
        .string()
        .max(254)
        .regex(/^[^\s@<>,?]+@[^\s@<>,?]+$/, { error: 'an address such as admin@example.com' }),
      names: z.array(certificateName).min(1).max(certificateNamesMax),
      ca: file.optional(),
    })
    .optional();

  const admin = z
    .strictObject({
      socket: file.prefault('run/admin.sock'),
      socket_tokens: z.enum(['optional', 'required']).default('optional'),
      listen: z.union([none, listen]).prefault('none'),
      any_interface: z.boolean().default(false),
      certificate: file.optional(),
      key: file.optional(),
    })
    .prefault({})
    .transform((s) => ({
      socket: s.socket,
      socketTokens: s.socket_tokens,
      listen: s.listen,
      anyInterface: s.any_interface,
      certificate: s.certificate,
      key: s.key,
    }));

  const sessions = z
    .strictObject({
      web_idle: duration('1m', '12h').prefault('15m'),
      web_max: duration('1m', '7d').prefault('12h'),
      sftp_idle: duration('1m', '12h').prefault('15m'),
      sftp_max: duration('1m', '7d').prefault('12h'),
    })
    .prefault({})
    .transform((s) => ({
      https: { idleMs: s.web_idle, maxMs: s.web_max },
      sftp: { idleMs: s.sftp_idle, maxMs: s.sftp_max },
    }));

  const uploads = z
    .strictObject({
      default: z.enum(['atomic', 'direct']).default('atomic'),
      keep_partial: duration('1m', '30d').prefault('24h'),
      keep_finishing: duration('1m', '12h').prefault('10m'),
      keep_replaced: onOff.prefault('on'),
    })
    .prefault({})
    .transform((s) => ({
      default: s.default,
      keepPartialMs: s.keep_partial,
      keepFinishingMs: s.keep_finishing,
      keepReplaced: s.keep_replaced,
    }));

  const bans = z
    .strictObject({
      never_ban: z.array(cidr).max(256).default([]),
      bait_names: z
        .array(z.string().min(1).max(64).transform(foldUsername))
        .max(64)
        .default(['root', 'admin', 'administrator']),
      wrong_passwords: countWithin.prefault('20 in 15m'),
      then_one_per: duration('1s', '10m').prefault('10s'),
    })
    .prefault({})
    .transform((s) => ({
      neverBan: s.never_ban,
      baitNames: s.bait_names,
      /** Per user; after it one try per `thenOnePerMs` from places the user never signed in from. */
      wrongPasswords: s.wrong_passwords,
      thenOnePerMs: s.then_one_per,
    }));

  const syslog = z
    .strictObject({
      host: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, { error: 'a host name or an address' }),
      port: z.number().int().min(1).max(65_535).default(6514),
      ca: file.optional(),
      certificate: file.optional(),
      key: file.optional(),
      events: eventPatterns,
    })
    .refine(({ certificate, key }) => (certificate === undefined) === (key === undefined), {
      error: '`certificate` and `key` together',
    });

  const audit = z
    .strictObject({
      file: file.prefault('audit.jsonl'),
      rotate: size.prefault('100MiB'),
      keep: duration('1d', '36500d').prefault('400d'),
      checkpoints_to: z
        .array(z.union([encryptedUrl, plainTarget, notAnAddress.pipe(file)]))
        .max(8)
        .default([]),
      syslog: z.array(syslog).max(4).default([]),
    })
    .prefault({})
    .transform((s) => ({
      file: s.file,
      rotateBytes: s.rotate,
      keepMs: s.keep,
      /** Addresses, and files on another disk. */
      checkpointsTo: s.checkpoints_to,
      syslog: s.syslog,
    }));

  const webhook = z
    .strictObject({
      url: httpUrl('https', 'http'),
      allow_plain: allowPlain,
      events: eventPatterns,
      ...eventFilter,
      secret_file: file,
    })
    .superRefine(requireEncrypted)
    .transform(({ allow_plain: _allowPlain, secret_file: secretFile, ...s }) => ({ ...s, secretFile }));
  const events = z
    .strictObject({
      webhooks: z.array(webhook).max(16).default([]),
      mails: z.array(eventMail).max(32).default([]),
    })
    .prefault({});

  const branding = buildBrandingSchema(file);

  return (
    z
      .strictObject({
        name: plainName.default('main1'),
        public_url: httpUrl('https')
          .transform((text) => new URL(text).origin)
          .optional(),
        dmz_nodes: z.array(dmzNode).max(64).default([]),
        identity_key: file,
        users,
        state: z
          .strictObject({ store: z.literal('sqlite').default('sqlite'), file: file.prefault('state.db') })
          .prefault({}),
        vault_key: file,
        storages: z
          .record(plainName, z.strictObject({ type: z.literal('local').default('local'), base: file }))
          .prefault({ local: { base: '/srv/sallyport' } }),
        two_factor: twoFactorSchema,
        smtp: smtp.optional(),
        sms: sms.optional(),
        https: z.strictObject({ acme }).prefault({}),
        admin,
        sessions,
        passwords: z
          .strictObject({ minimum_length: z.number().int().min(8).max(128).default(12) })
          .prefault({})
          .transform((s) => ({ minimumLength: s.minimum_length })),
        uploads,
        bin: binLife.prefault('7d'),
        bans,
        audit,
        events,
        branding,
        log: z.strictObject({ level: logLevel }).prefault({}),
        health: z.strictObject({ listen: z.union([none, listen]).prefault('127.0.0.1:9101') }).prefault({}),
      })
      // A transform, because it runs only when every part fits by itself.
      .transform((s, issues) => {
        const names = s.dmz_nodes.map((node) => node.name);
        names.forEach((name, index) => {
          if (names.indexOf(name) === index) return;
          issues.addIssue({
            code: 'custom',
            path: ['dmz_nodes', index, 'name'],
            message: 'a name that no other node has',
            input: name,
          });
        });
        if (s.two_factor.delivered.transports.includes('sms') && s.sms === undefined) {
          issues.addIssue({
            code: 'custom',
            path: ['two_factor', 'delivered', 'transport'],
            message: 'a section `sms` beside it',
            input: 'sms',
          });
        }
        if (s.events.mails.length > 0 && s.smtp === undefined) {
          issues.addIssue({
            code: 'custom',
            path: ['events', 'mails'],
            message: 'a section `smtp` beside it',
            input: undefined,
          });
        }
        const mailNames = s.events.mails.map((mail) => mail.name);
        mailNames.forEach((name, index) => {
          if (mailNames.indexOf(name) === index) return;
          issues.addIssue({
            code: 'custom',
            path: ['events', 'mails', index, 'name'],
            message: 'a name that no other mail has',
            input: name,
          });
        });
        for (const { name, base, other } of overlaps(s.storages)) {
          issues.addIssue({
            code: 'custom',
            path: ['storages', name, 'base'],
            message: `a folder that lies neither in that of storage ${other} nor around it`,
            input: base,
          });
        }
        for (const { path: at, message } of adminProblems(s.admin))
          issues.addIssue({ code: 'custom', path: ['admin', at], message, input: undefined });
        return s;
      })
      .transform((s) => ({
        name: s.name,
        /** Where users sign in on the web, for links in mails; undefined: none are sent. */
        publicUrl: s.public_url,
        dmzNodes: s.dmz_nodes,
        identityKey: s.identity_key,
        users: s.users,
        state: s.state,
        vaultKey: s.vault_key,
        storages: s.storages,
        twoFactor: s.two_factor,
        smtp: s.smtp,
        sms: s.sms,
        https: s.https,
        admin: s.admin,
        sessions: s.sessions,
        passwords: s.passwords,
        uploads: s.uploads,
        /** How long a mount keeps what is deleted, where it does not say so itself. */
        binMs: s.bin ?? undefined,
        bans: s.bans,
        audit: s.audit,
        events: s.events,
        branding: s.branding,
        log: s.log,
        health: s.health,
      }))
      .transform((config, issues) => {
        for (const { path: at, message } of whyNotTold(config))
          issues.addIssue({ code: 'custom', path: at, message, input: undefined });
        return config;
      })
  );
}

/** Storages of which each would see the other's files, and its records of them: a limit or rule of one is none. */
function overlaps(storages: Readonly<Record<string, { readonly base: string }>>) {
  const real = Object.entries(storages).map(([name, { base }]) => ({ name, base, folder: realFolder(base) }));
  return real.flatMap(({ name, base, folder }, index) => {
    const other = real
      .slice(0, index)
      .find((one) => liesIn(folder, one.folder) || liesIn(one.folder, folder));
    return other === undefined ? [] : [{ name, base, other: other.name }];
  });
}

function liesIn(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(outer.endsWith(path.sep) ? outer : outer + path.sep);
}

/** Without links, as far as it is there. */
function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    const above = path.dirname(folder);
    return above === folder ? folder : path.join(realFolder(above), path.basename(folder));
  }
}

/** The admin API leaves this machine only with a certificate, and to every network only when somebody says so. */
function adminProblems(admin: {
  readonly listen: Listen | undefined;
  readonly anyInterface: boolean;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}): readonly { readonly path: string; readonly message: string }[] {
  const { listen: where } = admin;
  if (where === undefined) return [];
  const problems = [];
  if (admin.certificate === undefined)
    problems.push({ path: 'listen', message: '`certificate` beside it: the listener speaks TLS only' });
  if (admin.key === undefined) problems.push({ path: 'listen', message: '`key` beside it' });
  const isAnywhere = where.type === 'tcp' && /^(0\.0\.0\.0|::|\[::\])$/.test(where.host);
  if (isAnywhere && !admin.anyInterface)
    problems.push({ path: 'listen', message: 'an address of the inner network, or `any_interface: true`' });
  return problems;
}

export type MainAgentConfig = z.output<ReturnType<typeof buildMainAgentSchema>>;

/** Rejects with one `config` error whose detail lists every problem. */
export async function loadMainAgentConfig(file: string, options: LoadOptions = {}): Promise<MainAgentConfig> {
  return requireLoaded(await checkMainAgentConfig(file, options));
}

/**
 * One that is not on its box yet: the files that it names need not be there, and its credentials lie in `credentials`.
 */
export function readMainAgentConfig(text: string, file: string, credentials: string): MainAgentConfig {
  const schema = buildMainAgentSchema(pathContextOf(file, { credentials }));
  const checked = checkYaml(text, file, schema);
  if (!checked.ok) throw configError(checked.problems);
  return checked.value;
}

export function checkMainAgentConfig(
  file: string,
  options: LoadOptions = {},
): Promise<Loaded<MainAgentConfig>> {
  const schema = buildMainAgentSchema(pathContextOf(file, options));
  return checkConfigFile(file, schema, { namedFiles, ...options });
}

/** For a process that may be told to read it again. Rejects as `loadMainAgentConfig`. */
export function openMainAgentConfig(
  file: string,
  options: LoadOptions = {},
): Promise<ConfigSource<MainAgentConfig>> {
  return ConfigSource.open(() =>
    readConfigFile(file, buildMainAgentSchema(pathContextOf(file, options)), { namedFiles, ...options }),
  );
}

export function namedFiles(config: MainAgentConfig): NamedFile[] {
  const maybe: readonly (Omit<NamedFile, 'path'> & { path: string | undefined })[] = [
    { at: ['identity_key'], path: config.identityKey, kind: 'secret' },
    { at: ['vault_key'], path: config.vaultKey, kind: 'secret', isForeign: true },
    { at: ['https', 'acme', 'ca'], path: config.https.acme?.ca, kind: 'public' },
    { at: ['branding', 'logo'], path: config.branding.logo, kind: 'public', whyNot: whyNoLogo },
    { at: ['admin', 'certificate'], path: config.admin.certificate, kind: 'public' },
    { at: ['admin', 'key'], path: config.admin.key, kind: 'secret' },
    { at: ['smtp', 'password_file'], path: config.smtp?.passwordFile, kind: 'secret' },
    { at: ['sms', 'password_file'], path: config.sms?.passwordFile, kind: 'secret' },
    ...config.audit.syslog.flatMap(({ ca, certificate, key }, index) => [
      { at: ['audit', 'syslog', index, 'ca'], path: ca, kind: 'public' } as const,
      { at: ['audit', 'syslog', index, 'certificate'], path: certificate, kind: 'public' } as const,
      { at: ['audit', 'syslog', index, 'key'], path: key, kind: 'secret' } as const,
    ]),
    ...config.events.webhooks.map(
      ({ secretFile }, index) =>
        ({ at: ['events', 'webhooks', index, 'secret_file'], path: secretFile, kind: 'secret' }) as const,
    ),
  ];
  return maybe.flatMap(({ path: named, ...rest }) => (named === undefined ? [] : [{ ...rest, path: named }]));
}
