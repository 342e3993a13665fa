import { nobody, type DmzConfig } from '#dmz/config.ts';
import { boxChecks } from '#shared/health/box-checks.ts';
import {
  buildCertificateChecks,
  readServedCertificate,
  type ServedCertificate,
} from '#shared/health/certificate-checks.ts';
import type { HealthCheck } from '#shared/health/check.ts';

/**
 * The node's one list of checks, behind `node doctor`, `/healthz`, `/readyz`, `--check-config` and what main shows of the
 * node (D-103).
 */

/** What can be seen whether the node runs or not. */
interface NodeSetupFacts {
  readonly config: DmzConfig;
  /** As it lies on disk; undefined: main gives it. */
  readonly certificate: ServedCertificate | { readonly unlooked: string } | undefined;
  readonly nowMs: number;
}

/** What only the running node knows. */
interface NodeRunningFacts {
  readonly config: DmzConfig;
  /** Another main with main's key that was turned away lately: from where. */
  readonly otherMain: string | undefined;
  readonly isUp: boolean;
  /** Main's own switch; undefined: it has not said. */
  readonly mainValidatedLogins: boolean | undefined;
  /** The certificate that is served is main's, and main has given none yet. */
  readonly waitsForCertificate: boolean;
  /** Main is connected, is to have the SSH host keys, and has told none. */
  readonly waitsForHostKeys: boolean;
}

/** Reads what the configuration names as it is now. */
export async function gatherNodeSetup(
  config: DmzConfig,
  credentials: string | undefined,
  nowMs: number,
): Promise<NodeSetupFacts> {
  return { config, nowMs, certificate: await readServedCertificate(config.https, credentials) };
}

const trust =
  "sallyport nodes enrol '<pairing line>' on main, then here: sallyport node trust '<main's line>', and restart the node";
const hostKeysAtMain =
  'host_key: main at this node in main-agent.yaml, then systemctl reload main-agent; or host_keys of its own';
const switchOn =
  'two_factor.validated_logins in main-agent.yaml and validated_logins in dmz.yaml: true in both';

export const nodeSetupChecks: readonly HealthCheck<NodeSetupFacts>[] = [
  {
    id: 'pairing',
    looksAt: 'whether the node trusts a main',
    cure: trust,
    affects: 'both',
    look: ({ config }) =>
      config.link.main.identity === nobody
        ? [{ state: 'bad', detail: 'no main is trusted yet', hint: trust }]
        : [{ state: 'good', detail: 'main is pinned' }],
  },
  {
    id: 'validated-logins',
    looksAt: 'whether the node asks for second factors at all',
    cure: switchOn,
    affects: 'health',
    look: ({ config }) =>
      config.validatedLogins
        ? [{ state: 'good', detail: 'on' }]
        : [
            {
              state: 'bad',
              detail: 'validated_logins is off: this node asks nobody for a second factor',
              hint: switchOn,
            },
          ],
  },
  ...buildCertificateChecks<NodeSetupFacts>(
    'certificate',
    ({ config, certificate, nowMs }) => ({
      certificate,
      name: new URL(config.publicUrl).hostname.replace(/^\[(.*)\]$/, '$1'),
      nowMs,
    }),
    {
      renew: 'renew it; then systemctl reload dmz',
      name: 'a certificate for that name, or public_url as the certificate has it',
      key: 'https.key must be the key of https.certificate (chain, leaf first); then systemctl reload dmz',
    },
  ),
];

export const nodeRunningChecks: readonly HealthCheck<NodeRunningFacts>[] = [
  {
    id: 'main-link',
    looksAt: 'whether main is connected',
    cure: 'does main run, does it dial this address, does the firewall let it in? `sallyport doctor` on main',
    affects: 'ready',
    look: ({ isUp }) => [judgeMainLink(isUp)],
  },
  {
    id: 'validated-logins-agree',
    looksAt: 'whether main and the node agree that second factors are asked for',
    cure: switchOn,
    affects: 'both',
    look: ({ config, mainValidatedLogins }) =>
      mainValidatedLogins === undefined || mainValidatedLogins === config.validatedLogins
        ? []
        : [
            {
              state: 'bad',
              detail: `validated_logins is ${config.validatedLogins} here and not on main`,
              hint: switchOn,
            },
          ],
  },
  {
    id: 'other-main',
    looksAt: 'whether another process with main’s key wants the link',
    cure: 'stop main-agent on the box that should not be main',
    affects: 'health',
    look: ({ otherMain }) =>
      otherMain === undefined
        ? []
        : [
            {
              state: 'bad',
              detail: `another main with main's key wanted the link, from ${otherMain}, and was turned away`,
              hint: 'systemctl stop main-agent on the box that should not be main; if nobody of yours started it, main’s key was copied',
            },
          ],
  },
  {
    id: 'certificate-given',
    looksAt: 'whether main has given the certificate, where the node has none of its own',
    cure: 'https.acme in main-agent.yaml; `sallyport status` on main says why there is none',
    affects: 'both',
    look: ({ waitsForCertificate }) =>
      waitsForCertificate
        ? [
            {
              state: 'bad',
              detail: 'main has not given a certificate yet: the HTTPS door is shut',
              hint: 'https.acme in main-agent.yaml; sallyport status on main says why there is none',
            },
          ]
        : [],
  },
  {
    id: 'host-keys-given',
    looksAt: 'whether main has told the SSH host keys, where the node has none of its own',
    cure: hostKeysAtMain,
    affects: 'both',
    look: ({ waitsForHostKeys }) =>
      waitsForHostKeys
        ? [
            {
              state: 'bad',
              detail: 'main has no SSH host keys for this node: the SFTP door is shut',
              hint: hostKeysAtMain,
            },
          ]
        : [],
  },
];

/** The same from inside, and from the kernel's table. */
export function judgeMainLink(isUp: boolean) {
  if (isUp) return { state: 'good', detail: 'main is connected' } as const;
  return {
    state: 'bad',
    detail: 'main is not connected',
    hint: 'does main run, does it dial this address, does the firewall let it in? sallyport doctor on main',
  } as const;
}

export const nodeChecks = [...nodeSetupChecks, ...nodeRunningChecks, ...boxChecks];
