import { countWithin, cidr, duration, plainName } from '#shared/config/value-types.ts';
import { z } from 'zod';

/** Section `two_factor` of `main-agent.yaml`: the server-wide switches of validated logins. */

const protocols = z.array(z.enum(['https', 'sftp'])).max(2);
const bothProtocols: ('https' | 'sftp')[] = ['https', 'sftp'];

/** Text of a code mail. `{auth_token}` must be in text and HTML, or nobody could ever sign in with it. */
const withToken = z
  .string()
  .min(1)
  .max(16_384)
  .refine((text) => text.includes('{auth_token}'), { error: 'text that contains {auth_token}' });

const emailTemplate = z.strictObject({
  subject: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[^\r\n]*$/, { error: 'one line' })
    .default('Your verification code'),
  text: withToken.default(
    [
      'Hello {username},',
      '',
      'your verification code is {auth_token}',
      '',
      'It is good for {expires_in} and for one sign-in from {client_ip}.',
      'If that was not you, somebody knows your password: change it.',
      '',
    ].join('\n'),
  ),
  html: withToken.default(
    [
      '<p>Hello {username},</p>',
      '<p>your verification code is <strong>{auth_token}</strong></p>',
      '<p>It is good for {expires_in} and for one sign-in from {client_ip}.<br>',
      'If that was not you, somebody knows your password: change it.</p>',
      '',
    ].join('\n'),
  ),
});

const transport = z.enum(['smtp', 'sms']);

const delivered = z
  .strictObject({
    transport: z
      .union([transport, z.array(transport).min(1).max(2)])
      .default('smtp')
      .transform((value) => (typeof value === 'string' ? [value] : value)),
    length: z.number().int().min(6).max(12).default(6),
    charset: z.enum(['digits', 'alphanumeric']).default('digits'),
    ttl: duration('1m', '10m').prefault('5m'),
    email_template: emailTemplate.prefault({}),
  })
  .prefault({})
  .transform((s) => ({
    /** In the order they are tried. */
    transports: s.transport,
    length: s.length,
    charset: s.charset,
    ttlMs: s.ttl,
    emailTemplate: s.email_template,
  }));

const totp = z
  .strictObject({
    digits: z.union([z.literal(6), z.literal(8)], { error: '6 or 8' }).default(6),
    period: duration('30s', '60s').prefault('30s'),
    skew_steps: z.number().int().min(0).max(2).default(1),
    algorithm: z.enum(['SHA1', 'SHA256', 'SHA512']).default('SHA1'),
    issuer: z
      .string()
      .min(1)
      .max(64)
      .regex(/^[^:]*$/, { error: 'a name without a colon' })
      .default('Sallyport'),
    label: z.string().min(1).max(128).default('{username}'),
  })
  .prefault({})
  .transform((s) => ({
    digits: s.digits,
    periodSeconds: s.period / 1000,
    skewSteps: s.skew_steps,
    algorithm: s.algorithm,
    issuer: s.issuer,
    label: s.label,
  }));

const enrolment = z
  .strictObject({
    qr_ttl: duration('10s', '10m').prefault('30s'),
    prove_ttl: duration('30s', '10m').prefault('2m'),
    recovery_codes: z.number().int().min(0).max(32).default(10),
    over_sftp: z.boolean().default(false),
    ticket: z.enum(['none', 'required']).default('none'),
  })
  .prefault({})
  .transform((s) => ({
    qrTtlMs: s.qr_ttl,
    proveTtlMs: s.prove_ttl,
    recoveryCodes: s.recovery_codes,
    overSftp: s.over_sftp,
    ticket: s.ticket,
  }));

const lease = z
  .union([
    z.literal('off').transform(() => undefined),
    z
      .strictObject({
        protocols: protocols.default(['sftp']),
        ttl: duration('10s', '12h').prefault('10m'),
        max: duration('10s', '12h').prefault('1h'),
        connections: z.number().int().min(1).max(64).default(8),
        opens: z.number().int().min(1).max(10_000).default(200),
      })
      .transform((s) => ({
        protocols: s.protocols,
        ttlMs: s.ttl,
        maxMs: s.max,
        connections: s.connections,
        opens: s.opens,
      })),
  ])
  .prefault({});

/** Through which nodes users may change something themselves. */
const nodes = z.union([
  z.enum(['anywhere', 'off']),
  z.strictObject({ nodes: z.array(plainName).min(1).max(64) }),
]);

const selfService = z
  .strictObject({
    enrol: nodes.default('anywhere'),
    password: nodes.default('anywhere'),
    ssh_keys: nodes.default('off'),
  })
  .prefault({})
  .transform((s) => ({ enrol: s.enrol, password: s.password, sshKeys: s.ssh_keys }));

const attempts = z
  .strictObject({
    per_login: z.number().int().min(1).max(10).default(5),
    per_user: countWithin.prefault('10 in 15m'),
    lock: duration('1m', '24h').prefault('15m'),
  })
  .prefault({})
  .transform((s) => ({ perLogin: s.per_login, perUser: s.per_user, lockMs: s.lock }));

export const twoFactorSchema = z
  .strictObject({
    validated_logins: z.union([z.boolean(), z.literal('sealed')]).default(true),
    auto_enable: z.boolean().default(false),
    auto_enable_protocols: protocols.default(bothProtocols),
    delivered,
    totp,
    enrolment,
    lease,
    remember_device: z
      .union([z.literal('off').transform(() => undefined), duration('1h', '90d')])
      .prefault('off'),
    trusted_networks: z
      .array(z.strictObject({ cidr, nodes: z.array(plainName).min(1).max(64) }))
      .max(256)
      .default([]),
    self_service: selfService,
    attempts,
  })
  .prefault({})
  .transform((s) => ({
    validatedLogins: s.validated_logins !== false,
    /** Both factors are asked of everybody, and one answer is given at the end. */
    isSealed: s.validated_logins === 'sealed',
    autoEnable: s.auto_enable,
    autoEnableProtocols: s.auto_enable_protocols,
    delivered: s.delivered,
    totp: s.totp,
    enrolment: s.enrolment,
    /** undefined: off. */
    lease: s.lease,
    /** Life of a device cookie; undefined: off. */
    rememberDeviceMs: s.remember_device,
    trustedNetworks: s.trusted_networks,
    selfService: s.self_service,
    attempts: s.attempts,
  }));
