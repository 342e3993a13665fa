import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import { checkDmzConfig, type DmzConfig } from '#dmz/config.ts';
import type { ShownFinding } from '#shared/command-line/findings.ts';
import { listen, type Listen } from '#shared/config/value-types.ts';
import { nobody } from './dmz-yaml.ts';
import type { KernelSockets } from './kernel-sockets.ts';
import { readLinkSocket } from './link-socket.ts';

/** What is not as it should be on this DMZ box, each with what to do about it. Reads files and the kernel's tables. */

const dayMs = 24 * 3_600_000;
const certificateWarningMs = 14 * dayMs;

export async function examineNode(
  configFile: string,
  around: { readonly nowMs: number; readonly sockets: () => KernelSockets },
): Promise<readonly ShownFinding[]> {
  const checked = await checkDmzConfig(configFile);
  if (!checked.ok) {
    // The modes of key files are among what the check looks at.
    return checked.problems.map(({ file, line, column, message, hint }) => ({
      check: 'configuration',
      state: 'bad',
      detail: `${file}:${line}:${column}: ${message}`,
      ...(hint !== undefined && { hint }),
    }));
  }
  const { config } = checked;
  const sockets = around.sockets();
  const linkSocket = readLinkSocket(dirname(configFile));
  const link = linkSocket === undefined ? config.link.listen : listen.parse(linkSocket);
  return [
    { check: 'configuration', state: 'good', detail: `${configFile}; its key files are its owner's alone` },
    examineTrust(config),
    ...examineCertificate(config, around.nowMs),
    examineSwitch(config),
    examinePort('https', config.https.listen, sockets),
    ...(config.https.plainListen === undefined
      ? []
      : [examinePort('port 80', config.https.plainListen, sockets)]),
    examinePort('sftp', config.sftp.listen, sockets),
    examinePort('link', link, sockets),
    examineLink(link, sockets),
  ];
}

function examineTrust({ link }: DmzConfig): ShownFinding {
  if (link.main.identity !== nobody) return { check: 'pairing', state: 'good', detail: 'main is pinned' };
  return {
    check: 'pairing',
    state: 'bad',
    detail: 'no main is trusted yet',
    hint: "sallyport nodes enrol '<pairing line>' on main, then here: sallyport node trust '<main's line>'",
  };
}

function examineCertificate({ https, publicUrl }: DmzConfig, nowMs: number): ShownFinding[] {
  const check = 'certificate';
  if (https.certificate === undefined)
    return [
      { check, state: 'good', detail: 'is given by main: `sallyport status` there says how it stands' },
    ];
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(readFileSync(https.certificate));
  } catch (error) {
    return [
      {
        check,
        state: 'bad',
        detail: `${https.certificate}: ${String(error)}`,
        hint: 'a PEM chain, leaf first',
      },
    ];
  }
  const name = new URL(publicUrl).hostname.replace(/^\[(.*)\]$/, '$1');
  const named = isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name);
  const isNamed = named !== undefined;
  const leftMs = certificate.validToDate.getTime() - nowMs;
  const days = Math.floor(leftMs / dayMs);
  return [
    isNamed
      ? { check, state: 'good', detail: `is for ${name}` }
      : {
          check,
          state: 'bad',
          detail: `is not for ${name}: ${certificate.subjectAltName ?? 'it names nobody'}`,
          hint: 'public_url and the certificate must name the same host',
        },
    leftMs > certificateWarningMs
      ? { check, state: 'good', detail: `good for ${days} days` }
      : {
          check,
          state: leftMs > 0 ? 'warning' : 'bad',
          detail: leftMs > 0 ? `ends in ${days} days` : 'has ended',
          hint: 'renew it, then reload the node (SIGHUP), or restart its unit where the certificate is a `credential:`',
        },
  ];
}

function examineSwitch({ validatedLogins }: DmzConfig): ShownFinding {
  if (validatedLogins) return { check: 'validated logins', state: 'good', detail: 'on' };
  return {
    check: 'validated logins',
    state: 'bad',
    detail: 'off: this node asks nobody for a second factor',
    hint: 'validated_logins: true in dmz.yaml and main-agent.yaml',
  };
}

function examinePort(name: string, at: Listen, { listening }: KernelSockets): ShownFinding {
  const check = `${name} listener`;
  if (at.type === 'systemd')
    return { check, state: 'good', detail: `held by systemd as ${at.name}: systemctl status shows it` };
  const { host, port } = at;
  if (port === 0)
    return { check, state: 'warning', detail: 'takes a free port at each start', hint: 'name one' };
  if (listening.has(port)) return { check, state: 'good', detail: `${host}:${port} is listened on` };
  return {
    check,
    state: 'bad',
    detail: `nobody listens on port ${port}`,
    hint: 'is the node running? journalctl -u dmz says why not',
  };
}

function examineLink(link: Listen, { connected }: KernelSockets): ShownFinding {
  const check = 'link to main';
  if (link.type === 'systemd')
    return {
      check,
      state: 'warning',
      detail: 'its port is systemd’s',
      hint: 'the node’s /readyz says whether main has joined',
    };
  if (connected.has(link.port)) return { check, state: 'good', detail: 'main is connected' };
  return {
    check,
    state: 'bad',
    detail: `nobody is connected to port ${link.port}`,
    hint: 'does main run, does it dial this address, does the firewall let it in? sallyport doctor on main',
  };
}
