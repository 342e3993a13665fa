import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Registry } from 'prom-client';
import type { DmzConfig } from '#dmz/config.ts';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import type { OwnBan } from '#dmz/guard/ban-list.ts';
import type { DoorName, HandedOver } from '#dmz/guard/door-listen.ts';
import { defaultGuardLimits, shareOf } from '#dmz/guard/limits.ts';
import { SourceGuard } from '#dmz/guard/source-guard.ts';
import type { UserPlaces } from '#dmz/guard/user-places.ts';
import { buildPlainDoor, type PlainDoor } from '#dmz/https/plain-door.ts';
import { buildNodeExamination, keepMainTold } from '#dmz/health/node-health.ts';
import { buildHttpsServer } from '#dmz/https/server.ts';
import type { Certificate } from '#dmz/https/tls.ts';
import { buildLinkListener, type LinkListener, type LinkListenerOptions } from '#dmz/link/listener.ts';
import type { MainHolder, MainLink } from '#dmz/link/main-link.ts';
import { LoginConversation } from '#dmz/login/conversation.ts';
import { HostKeysOfMain } from '#dmz/sftp/host-keys.ts';
import { buildSftpServer } from '#dmz/sftp/server.ts';
import type { HostKeySource } from '#dmz/sftp/transport/setup.ts';
import type { Clock } from '#shared/clock.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import type { Reread } from '#shared/config/reload.ts';
import { SallyportError } from '#shared/error.ts';
import type { Examination } from '#shared/health/check.ts';
import { buildHealthServer, buildMetricsRegistry, type HealthServer } from '#shared/health/health-server.ts';
import type { Log } from '#shared/log.ts';
import { resolveListen, type InheritedSockets, type ListenAt } from '#shared/process/inherited-sockets.ts';
import { startOrClose, type System } from '#shared/process/node-process.ts';
import { Secret } from '#shared/secret.ts';
import { registerEdgeEvents, registerMetrics } from './metrics.ts';
import { tellReload, withReloaded } from './reload.ts';

/** The DMZ node, put together. Plain wiring: what each part does is in its folder. */
interface DmzSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly inherited: InheritedSockets;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string;
  /** $RENEWED_CREDENTIALS_DIRECTORY. */
  readonly renewed?: string;
  /** Where the configuration is. */
  readonly configFile: string;
  /** The configuration as it is on disk now, for a reload. */
  readonly reread: () => Promise<Reread<DmzConfig>>;
  /** Where root leaves what it found on the box around the node. */
  readonly watched?: string;
  /** What this process is when there are several (D-133); without it, it is the whole node. */
  readonly seat?: WorkerSeat;
}

interface WorkerSeat {
  readonly worker: number;
  readonly workers: number;
  readonly link: ListenAt;
  /** Of all workers; complete for the first, which starts last. */
  readonly linkPorts: readonly number[];
  readonly doors: Readonly<Record<DoorName, HandedOver>>;
  readonly userPlaces: UserPlaces;
  readonly bans: readonly OwnBan[];
  readonly onBanned: (ban: OwnBan) => void;
  readonly heldElsewhere: () => MainHolder | undefined;
  readonly onHeld: (by: MainHolder | undefined) => void;
}

export interface DmzSystem extends System {
  readonly linkPort: number;
  examine(): Promise<Examination>;
  /** For the process that tells of all workers. */
  metrics(): Promise<unknown>;
}

const webRoot = fileURLToPath(new URL('./web/dist', import.meta.url));
/** How long open SFTP sessions may go on after a stop was asked for. */
const drainMs = 3_000;

export function startDmz(config: DmzConfig, around: DmzSurroundings): Promise<DmzSystem> {
  return startOrClose(around.log, (closing) => startAll(config, around, closing));
}

async function startAll(
  config: DmzConfig,
  around: DmzSurroundings,
  closing: AsyncDisposableStack,
): Promise<DmzSystem> {
  const { clock, log, inherited, credentials, seat } = around;
  const registry = buildMetricsRegistry({ node: config.node });
  /** Together with what a reload took. */
  let present = config;
  let certificate = await readCertificate(config, credentials);
  const signingKeyPem = await readPem(config.link.signingKey, credentials);
  const identityKeyPem = await readPem(config.link.identityKey, credentials);
  const edgeEvents = registerEdgeEvents(registry);
  const listener = buildListener(config, around, { identityKeyPem, signingKeyPem }, edgeEvents);
  const { link } = listener;
  const guard = new SourceGuard({
    link,
    clock,
    log: log.child({ part: 'guard' }),
    ...guardPart(seat),
  });
  const login = new LoginConversation({
    link,
    node: config.node,
    signingKeyPem,
    validatedLogins: config.validatedLogins,
    buildFiles: (session) => buildRemoteFiles({ link, session }),
    guard,
    clock,
    log: log.child({ part: 'login' }),
  });
  const plain = buildPlain(config, around, link);
  const https = buildHttpsServer({
    listen: seat?.doors.https ?? resolveListen(config.https.listen, inherited),
    proxiesFrom: config.https.proxiesFrom,
    certificate,
    profile: config.https.profile,
    publicUrl: config.publicUrl,
    securityTxt: config.securityTxt,
    login,
    guard,
    link,
    webRoot,
    onFault: (fault) => link.report({ kind: 'fault', protocol: 'https', ...fault }),
    registry,
    clock,
    log: log.child({ part: 'https' }),
  });
  const sftp = buildSftpServer({
    listen: seat?.doors.sftp ?? resolveListen(config.sftp.listen, inherited),
    proxiesFrom: config.sftp.proxiesFrom,
    registry,
    hostKeys: await findHostKeys(config, credentials, link),
    login,
    guard,
    publicUrl: config.publicUrl,
    banner: () => link.policy.branding.banner,
    profile: config.sftp.profile,
    onRefused: (what, client) =>
      link.report({
        kind: 'refused',
        clientIp: client.ip,
        protocol: 'sftp',
        detail: what,
      }),
    clock,
    log: log.child({ part: 'sftp' }),
  });
  registerMetrics(registry, { listener, guard, sftp, certificatePem: () => certificate?.certificatePem });
  const serve = (next: Certificate): void => {
    try {
      https.reload(next);
    } catch (cause) {
      throw refuseCertificate(cause);
    }
    certificate = next;
  };
  const isOwn = certificate !== undefined;
  const examine = buildNodeExamination(() => present, around, { link, served: () => certificate });
  const health = buildHealth(config, around, registry, examine);

  // Closed in reverse: the doors first, because what is under way still needs the link; health is told to the end.
  closing.defer(async () => health?.close());
  closing.defer(() => listener.close());
  closing.defer(() => guard.close());
  closing.defer(() => login.close());
  if (!isOwn) closing.defer(takeFromMain(link, serve, log));
  closing.defer(keepMainTold({ link, examine, log }));
  closing.defer(async () => void (await Promise.all([https.close(), sftp.close(drainMs), plain?.close()])));
  await listener.start();
  await https.start();
  await sftp.start();
  await plain?.start();
  // Last: who asks whether we are ready must find the doors open.
  await health?.start();
  const doors = seat === undefined ? { https: https.address, sftp: sftp.address() } : {};
  link.report({ kind: 'listener', detail: `started: ${describeDoors(doors, seat)}` });
  log.info({ ...doors, link: listener.port }, 'started');

  return {
    linkPort: listener.port,
    examine,
    metrics: () => registry.getMetricsAsJSON(),
    async reload() {
      const now = await around.reread();
      const renewed = await readCertificate(now.config, credentials);
      // First: one that does not belong to its key is refused here, and nothing has changed then.
      if (renewed !== undefined && isOwn) serve(renewed);
      present = withReloaded(config, now.config);
      // Of workers the node's process tells.
      if (seat === undefined) tellReload(now, config, around);
      else log.level = now.config.log.level;
    },
    async close() {
      log.info('stopping');
      await closing.disposeAsync();
    },
  };
}

function buildListener(
  config: DmzConfig,
  { clock, log, inherited, seat }: DmzSurroundings,
  keys: Pick<LinkListenerOptions, 'identityKeyPem' | 'signingKeyPem'>,
  onReport: NonNullable<LinkListenerOptions['onReport']>,
): LinkListener {
  return buildLinkListener({
    listen: seat?.link ?? resolveListen(config.link.listen, inherited),
    ...linkPart(seat),
    ...keys,
    mainIdentity: config.link.main.identity,
    nodeName: config.node,
    validatedLogins: config.validatedLogins,
    configHash: createHash('sha256').update(JSON.stringify(config)).digest('base64url'),
    wantsCertificate: !hasOwnCertificate(config),
    wantsHostKeys: config.sftp.hostKey === 'main',
    parkForMs: config.park.forMs,
    onReport,
    clock,
    log: log.child({ part: 'link' }),
  });
}

/** Undefined: nobody asks, or the node's process is asked. */
function buildHealth(
  { health: { listen } }: DmzConfig,
  { inherited, log, seat }: DmzSurroundings,
  registry: Registry,
  examine: () => Promise<Examination>,
): HealthServer | undefined {
  if (listen === undefined || seat !== undefined) return undefined;
  return buildHealthServer({
    listen: resolveListen(listen, inherited),
    examine,
    registry,
    log: log.child({ part: 'health' }),
  });
}

function linkPart(
  seat: WorkerSeat | undefined,
): Pick<LinkListenerOptions, 'worker' | 'workerPorts' | 'heldElsewhere' | 'onHeld'> {
  if (seat === undefined) return {};
  const { worker, linkPorts, heldElsewhere, onHeld } = seat;
  const part = { worker, heldElsewhere, onHeld };
  // Main dials the first one, and the others as that names them.
  return worker === 0 ? { ...part, workerPorts: (own) => [own, ...linkPorts.slice(1)] } : part;
}

function guardPart(seat: WorkerSeat | undefined) {
  if (seat === undefined) return {};
  const { workers, userPlaces, bans, onBanned } = seat;
  return { limits: shareOf(defaultGuardLimits, workers), userPlaces, bans, onBanned };
}

function describeDoors(doors: Readonly<Record<string, unknown>>, seat: WorkerSeat | undefined): string {
  if (seat !== undefined) return `worker ${seat.worker} of ${seat.workers}`;
  return Object.entries(doors)
    .map(([door, address]) => `${door} ${JSON.stringify(address)}`)
    .join(', ');
}

async function readPem(file: string, credentials: string | undefined): Promise<Secret> {
  const content = await readSecretFile(file, credentials);
  return new Secret(content.expose().toString('utf8'));
}

async function findHostKeys(
  { sftp }: DmzConfig,
  credentials: string | undefined,
  link: MainLink,
): Promise<HostKeySource> {
  if (sftp.hostKey === 'main') return new HostKeysOfMain(link);
  const files = await Promise.all(sftp.hostKeys.map((file) => readSecretFile(file, credentials)));
  return { pem: files.map((file) => file.expose()) };
}

function refuseCertificate(cause: unknown): SallyportError {
  return new SallyportError('config', 'The certificate can not be served: the one before stays', {
    detail: cause instanceof Error ? cause.message : String(cause),
    hint: 'https.certificate and https.key belong together: `sallyport node doctor` looks at both',
    cause,
  });
}

/** Otherwise main gives the node its certificate. */
function hasOwnCertificate({ https }: DmzConfig): boolean {
  return https.certificate !== undefined && https.key !== undefined;
}

/** Undefined: the node has none of its own. */
async function readCertificate(
  { https }: DmzConfig,
  credentials: string | undefined,
): Promise<Certificate | undefined> {
  if (https.certificate === undefined || https.key === undefined) return undefined;
  return {
    certificatePem: (await readPublicFile(https.certificate)).toString('utf8'),
    keyPem: await readPem(https.key, credentials),
  };
}

/** What main gives is served. Returns what ends that. */
function takeFromMain(
  { tls }: Pick<MainLink, 'tls'>,
  serve: (certificate: Certificate) => void,
  log: Log,
): () => void {
  return tls.onCertificate((certificate) => {
    try {
      serve(certificate);
      log.info('the certificate main gave is served');
    } catch (error) {
      log.error({ err: error }, 'the certificate main gave can not be served: the one before stays');
    }
  });
}

function buildPlain(
  { https, publicUrl }: DmzConfig,
  { inherited, seat, clock, log }: DmzSurroundings,
  { tls }: Pick<MainLink, 'tls'>,
): PlainDoor | undefined {
  if (https.plainListen === undefined) return undefined;
  return buildPlainDoor({
    listen: seat?.doors.plain ?? resolveListen(https.plainListen, inherited),
    proxiesFrom: https.proxiesFrom,
    publicUrl,
    keyAuthorizationOf: (token) => tls.keyAuthorizationOf(token),
    clock,
    log: log.child({ part: 'https' }),
  });
}
