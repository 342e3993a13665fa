import { constants } from 'node:fs';
import { access, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { MainAgentConfig } from '#main-agent/config.ts';
import { hostOf, isPlainElsewhere } from '#main-agent/outbound/plain-http.ts';
import { measureRoom } from '#main-agent/places.ts';
import { buildYamlEnrolments } from '#main-agent/users/enrolments.ts';
import type { AskVault } from '#main-agent/vault/calls.ts';
import { openSome, type SealedSample } from '#main-agent/vault/opened-secrets.ts';
import {
  buildCertificateChecks,
  readServedCertificate,
  type ServedCertificate,
} from '#shared/health/certificate-checks.ts';
import type { HealthCheck } from '#shared/health/check.ts';
import { buildRoomCheck } from '#shared/health/room-checks.ts';
import { randomId } from '#shared/random-id.ts';

/** What may be wrong with main's configuration and with what lies on its disks, whether main runs or not. */

export interface SetupFacts {
  readonly config: MainAgentConfig;
  /** The vault, which reads the key as it is in its file now. */
  readonly ask: AskVault;
  /** Of the admin listener, as it lies on disk. */
  readonly adminCertificate: ServedCertificate | { readonly unlooked: string } | undefined;
  readonly nowMs: number;
}

/** Reads what the configuration names as it is now. */
export async function gatherSetup(
  config: MainAgentConfig,
  credentials: string | undefined,
  nowMs: number,
  ask: AskVault,
): Promise<SetupFacts> {
  const { admin } = config;
  const adminCertificate =
    admin.listen === undefined ? undefined : await readServedCertificate(admin, credentials);
  return { config, ask, nowMs, adminCertificate };
}

const renew = 'renew admin.certificate; systemctl reload main-agent';
const restore =
  'put the key back that the secrets were sealed with (a backup has it) and restart main-agent; if it is lost, `sallyport two-factor reset` for each of them';

export const setupChecks: readonly HealthCheck<SetupFacts>[] = [
  {
    id: 'validated-logins',
    looksAt: 'whether second factors are asked for at all',
    cure: 'two_factor.validated_logins: true in main-agent.yaml and validated_logins: true in dmz.yaml',
    affects: 'health',
    look: ({ config }) =>
      config.twoFactor.validatedLogins
        ? [{ state: 'good', detail: 'on' }]
        : [
            {
              state: 'bad',
              detail: 'validated_logins is off: no second factor is ever asked',
              hint: 'two_factor.validated_logins: true in main-agent.yaml and validated_logins: true in dmz.yaml',
            },
          ],
  },
  {
    id: 'vault-key',
    looksAt: 'whether stored secrets open with the vault key that is there',
    cure: restore,
    affects: 'both',
    look: async ({ config, ask }) => {
      const enrolments = buildYamlEnrolments({ directory: config.users.enrolmentsDirectory });
      const open = async (samples: SealedSample[]) => (await ask('examine-file', { samples })).opened;
      const { tried, opened, closed } = await openSome(open, enrolments);
      if (tried === 0) return [{ state: 'good', detail: 'nothing is sealed with it yet' }];
      if (opened === 0)
        return [
          {
            state: 'bad',
            detail: `the vault key opens none of ${tried} stored secrets: it is another key`,
            hint: restore,
          },
        ];
      if (closed.length > 0)
        return [
          {
            state: 'bad',
            detail: `the stored secret of ${closed.join(', ')} can not be opened: its file was edited, or is another user's`,
            hint: 'put the file back from a backup, or `sallyport two-factor reset USER`',
          },
        ];
      return [{ state: 'good', detail: 'opens the stored secrets' }];
    },
  },
  {
    id: 'state-writable',
    looksAt: 'whether a file can be written where state.db, the audit and the storages lie',
    cure: 'room on that disk, and its folder written by the user `sallyport` alone',
    affects: 'both',
    look: async ({ config }) => {
      const places = [
        { what: 'state.db', why: await whyUnwritable(path.dirname(config.state.file)) },
        { what: 'the audit', why: await whyUnwritable(path.dirname(config.audit.file)) },
        ...(await Promise.all(
          Object.entries(config.storages).map(async ([name, { base }]) => ({
            what: `storage ${name}`,
            why: await access(base, constants.W_OK | constants.X_OK).then(() => undefined, codeOf),
          })),
        )),
      ];
      const shut = places.filter(({ why }) => why !== undefined);
      if (shut.length === 0) return [{ state: 'good', detail: 'can be written' }];
      return shut.map(({ what, why }) => ({
        state: 'bad',
        detail: `where ${what} lies nothing can be written: ${why}`,
        hint: 'room on that disk, and its folder written by the user `sallyport` alone',
      }));
    },
  },
  buildRoomCheck(({ config }) => measureRoom(config)),
  ...buildCertificateChecks<SetupFacts>(
    'admin-certificate',
    ({ adminCertificate, nowMs }) => ({ certificate: adminCertificate, name: undefined, nowMs }),
    { renew, key: 'admin.key must be the key of admin.certificate; then systemctl reload main-agent' },
  ),
  {
    id: 'admin-listener',
    looksAt: 'whether the admin API listens on more networks than it has to',
    cure: 'admin.listen: an address of the inner network',
    affects: 'health',
    look: ({ config: { admin } }) =>
      admin.listen?.type === 'tcp' && admin.anyInterface
        ? [
            {
              state: 'warning',
              detail: `listens on ${admin.listen.host}:${admin.listen.port}, which may be every network`,
              hint: 'admin.listen: an address of the inner network',
            },
          ]
        : undefined,
  },
  {
    id: 'trusted-networks',
    looksAt: 'networks from which no code is asked',
    cure: 'two_factor.trusted_networks: remove it unless it must be',
    affects: 'health',
    look: ({ config }) =>
      config.twoFactor.trustedNetworks.map(({ cidr, nodes }) => ({
        state: 'warning',
        detail: `no code is asked from ${cidr} through ${nodes.join(', ')}; the address is the word of the node`,
        hint: 'two_factor.trusted_networks: remove it unless it must be',
      })),
  },
  {
    id: 'collector-authority',
    looksAt: 'collectors that may show a certificate of any authority',
    cure: 'the authority of the collector as `ca` in audit.syslog, so that nobody else can take the audit for it',
    affects: 'health',
    look: ({ config }) =>
      config.audit.syslog
        .filter(({ ca }) => ca === undefined)
        .map(({ host, port }) => ({
          state: 'warning',
          detail: `${host}:${port} may show a certificate of any authority this machine trusts`,
          hint: 'the authority of the collector as `ca` in audit.syslog, so that nobody else can take the audit for it',
        })),
  },
  {
    id: 'unencrypted',
    looksAt: 'what leaves main unencrypted because the configuration allows it',
    cure: 'an https:// address, so that nobody on the way reads or changes it',
    affects: 'health',
    look: ({ config }) => {
      const plain = [
        ...(config.sms === undefined ? [] : [{ what: 'sms', url: config.sms.url }]),
        ...config.events.webhooks.map(({ url }) => ({ what: 'a webhook', url })),
        ...config.audit.checkpointsTo.map((url) => ({ what: 'checkpoints', url })),
      ].filter(({ url }) => isPlainElsewhere(url));
      return plain.map(({ what, url }) => ({
        state: 'warning',
        detail: `${what}: goes to ${hostOf(url)} unencrypted (allow_plain)`,
        hint: 'an https:// address, so that nobody on the way reads or changes it',
      }));
    },
  },
];

/** A small file is made and taken away: a folder's mode says nothing of a full or read-only disk. */
async function whyUnwritable(folder: string): Promise<string | undefined> {
  // A new file under a name nobody knows before: root does this, too, in a folder that is not root's.
  const file = path.join(folder, `.sallyport-probe-${randomId()}`);
  try {
    await writeFile(file, Buffer.alloc(probeBytes), { flag: 'wx', mode: 0o600 });
    return undefined;
  } catch (error) {
    return codeOf(error);
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
  }
}

/** A block of any disk. */
const probeBytes = 4_096;

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
