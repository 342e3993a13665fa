/* oxlint-disable no-underscore-dangle -- ssh2's own names of what it knows of an exchange */
import { readFileSync } from 'node:fs';
import { createRequire, registerHooks } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { message } from '#dmz/sftp/transport/messages.ts';
import { textPatches, type TextPatch } from '#dmz/sftp/transport/patches.ts';
import type {
  AlgorithmOffer,
  InboundCipher,
  InboundConfig,
  OutboundCipher,
  OutboundConfig,
  Ssh2HostKey,
  Ssh2Protocol,
  Ssh2ProtocolConfig,
} from '#dmz/sftp/ssh2-shapes.ts';
import { SallyportError } from '#shared/error.ts';

/**
 * The one place that touches the ssh2 package: loads a private, hardened copy of its transport layer (version
 * exchange, key exchange, packet protocol). Other users of ssh2 in the process, such as tests with its client, keep
 * the stock one.
 *
 * Start-up refuses a version or a file that the patches were not written for.
 */
const ssh2Version = '1.17.0';

/** What is replaced by export patches when the copy is loaded. */
interface Ssh2Replacements {
  readonly createCipher?: (config: OutboundConfig) => OutboundCipher | undefined;
  readonly createDecipher?: (config: InboundConfig) => InboundCipher | undefined;
  /** True: our KEXINIT is not to go out yet. */
  readonly holdsKexInit: (protocol: Ssh2Protocol) => boolean;
  /** The client's first KEXINIT, before ssh2 looks at it. */
  readonly onClientKexInit: (protocol: Ssh2Protocol, payload: Buffer) => void;
  /** True: the exchange under way is not the first. */
  readonly hasKeys: (protocol: Ssh2Protocol) => boolean;
  /** True: the client waits for our reply, which waits for its signature. */
  readonly isSigning: (protocol: Ssh2Protocol) => boolean;
}

export interface Ssh2Modules {
  buildProtocol(config: Ssh2ProtocolConfig): Ssh2Protocol;
  buildOffer(offer: AlgorithmOffer): unknown;
  /** Throws a `config` SallyportError for what is no private key. */
  parseHostKey(pem: Buffer): Ssh2HostKey;
  /** Sends our KEXINIT now. */
  sendKexInit(protocol: Ssh2Protocol): void;
  /** Sends a packet; while keys are exchanged it waits in ssh2's queue, unless `bypass`. */
  sendPacket(protocol: Ssh2Protocol, packet: Buffer, bypass?: boolean): void;
}

interface CryptoModule {
  init: Promise<void>;
  bindingAvailable: boolean;
  createCipher: (config: { outbound: OutboundConfig }) => OutboundCipher;
  createDecipher: (config: { inbound: InboundConfig }) => InboundCipher;
}
interface KexModule {
  KexInit: new (lists: unknown) => unknown;
  kexinit: (protocol: Ssh2Protocol) => void;
  onKEXPayload: (this: Ssh2Protocol, state: { firstPacket: boolean }, payload: Buffer) => unknown;
}
interface KeyParserModule {
  parseKey: (data: Buffer) => Ssh2HostKey | Ssh2HostKey[] | Error;
}
type ProtocolClass = new (config: Ssh2ProtocolConfig) => Ssh2Protocol;
interface WireModule {
  sendPacket: (protocol: Ssh2Protocol, packet: Buffer, bypass?: boolean) => boolean;
}

/** The files we load, in this order: each picks up what was replaced in those before it. */
interface ModuleFiles {
  'protocol/crypto.js': CryptoModule;
  'protocol/kex.js': KexModule;
  'protocol/keyParser.js': KeyParserModule;
  'protocol/utils.js': WireModule;
  'protocol/Protocol.js': ProtocolClass;
}
type LoadModule = <F extends keyof ModuleFiles>(file: F) => ModuleFiles[F];

/** Key exchange method specific messages (RFC 4251 §7). */
const firstMethodMessage = 30;
const lastMethodMessage = 49;

export async function loadSsh2(replacements: Ssh2Replacements): Promise<Ssh2Modules> {
  const requireModule = createRequire(import.meta.url);
  const main = requireModule.resolve('ssh2');
  const folder = path.dirname(main);
  requireVersion(path.join(folder, '..', 'package.json'));
  return withOwnCopy(requireModule, folder, async (load) => {
    const crypto = load('protocol/crypto.js');
    // The exposed process runs no native code; the addon is not built, and if it were it is not used.
    if (crypto.bindingAvailable)
      throw unfit('the native addon of ssh2 is present', 'install with --ignore-scripts');
    patchCrypto(crypto, replacements);
    const kex = load('protocol/kex.js');
    const sendKexInit = patchKex(kex, replacements);
    const { parseKey } = load('protocol/keyParser.js');
    const { sendPacket } = load('protocol/utils.js');
    const Protocol = load('protocol/Protocol.js');
    await crypto.init;
    return {
      buildProtocol: (config) => new Protocol(config),
      buildOffer: ({ kex: kexNames, serverHostKey, cipher, mac }) => {
        const both = { cipher, mac, compress: ['none'], lang: [] };
        return new kex.KexInit({ kex: kexNames, serverHostKey, cs: both, sc: both });
      },
      parseHostKey: (pem) => requireHostKey(parseKey(pem)),
      sendKexInit,
      sendPacket,
    };
  });
}

function unfit(detail: string, hint: string): SallyportError {
  return new SallyportError('config', 'The ssh2 package is not the one this was built for', { detail, hint });
}

function requireVersion(packageFile: string): void {
  const found = /"version": "([^"]+)"/.exec(readFileSync(packageFile, 'utf8'))?.[1] ?? 'unknown';
  if (found !== ssh2Version) throw unfit(`ssh2 ${found}`, `install ssh2 ${ssh2Version}`);
}

/** Export patches 4 and 5: our record layer where it has the cipher, ssh2's otherwise. */
function patchCrypto(crypto: CryptoModule, replacements: Ssh2Replacements): void {
  const { createCipher, createDecipher } = crypto;
  requireFunctions('crypto.js', { createCipher, createDecipher });
  crypto.createCipher = (config) => replacements.createCipher?.(config.outbound) ?? createCipher(config);
  crypto.createDecipher = (config) => replacements.createDecipher?.(config.inbound) ?? createDecipher(config);
}

/**
 * Export patch 6: our KEXINIT waits for the client's, so that the offer can be made to fit it; and what ssh2 swallows in
 * a key exchange is looked at. Before the first keys a strict client may send nothing but the exchange's own messages
 * (OpenSSH PROTOCOL §1.9): a packet that is let pass there shifts the sequence numbers of all that follow. Later RFC
 * 4253 §7.1 allows IGNORE, UNIMPLEMENTED and DEBUG.
 */
function patchKex(kex: KexModule, replacements: Ssh2Replacements): (protocol: Ssh2Protocol) => void {
  const { kexinit, onKEXPayload } = kex;
  requireFunctions('kex.js', { kexinit, onKEXPayload, KexInit: kex.KexInit });
  kex.kexinit = (protocol) => {
    if (!replacements.holdsKexInit(protocol)) kexinit(protocol);
  };
  kex.onKEXPayload = function (state, payload) {
    const type = payload[0];
    if (type === undefined) throw new Error('empty message in a key exchange');
    const isIdle = type === message.ignore || type === message.unimplemented || type === message.debug;
    if (isIdle && (replacements.hasKeys(this) || this._strictMode !== true)) return undefined;
    // ssh2 would take the client's NEWKEYS before it has sent ours.
    if (replacements.isSigning(this) && type !== message.disconnect)
      throw new Error(`message ${type} before the reply of the key exchange`);
    // RFC 4253 §7: a wrong guess of the client's, dropped unseen. Nothing else may be.
    if (this._skipNextInboundPacket && (type < firstMethodMessage || type > lastMethodMessage))
      throw new Error(`message ${type} in place of a guessed one`);
    if (type === message.kexInit && state.firstPacket) replacements.onClientKexInit(this, payload);
    return onKEXPayload.call(this, state, payload);
  };
  return kexinit;
}

function requireFunctions(file: string, functions: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(functions))
    if (typeof value !== 'function') throw unfit(`${file} exports no ${name}`, `install ssh2 ${ssh2Version}`);
}

function requireHostKey(parsed: Ssh2HostKey | Ssh2HostKey[] | Error): Ssh2HostKey {
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error || key.getPrivatePEM() === null) {
    const detail = key instanceof Error ? key.message : 'no private key in it';
    throw new SallyportError('config', 'An SSH host key can not be read', { detail });
  }
  return key;
}

/** Runs `use` with a loader that gives patched modules of our own, and leaves the stock ones in the cache as they were. */
async function withOwnCopy<T>(
  requireModule: NodeJS.Require,
  folder: string,
  use: (load: LoadModule) => Promise<T>,
): Promise<T> {
  const stock = takeFromCache(requireModule, folder);
  const pending = new Set(textPatches);
  const hooks = registerHooks({
    load(url, context, next) {
      const result = next(url, context);
      const file = url.startsWith('file:') ? path.relative(folder, fileURLToPath(url)) : '';
      const patches = textPatches.filter((patch) => patch.file === file);
      if (patches.length === 0) return result;
      let source = readFileSync(fileURLToPath(url), 'utf8');
      for (const patch of patches) {
        source = applyPatch(source, patch);
        pending.delete(patch);
      }
      return { ...result, source, shortCircuit: true };
    },
  });
  try {
    return await use(<F extends keyof ModuleFiles>(file: F) => {
      const loaded: unknown = requireModule(path.join(folder, file));
      if (file === 'protocol/Protocol.js') requireAllApplied(pending);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shapes above describe the pinned version
      return loaded as ModuleFiles[F];
    });
  } finally {
    hooks.deregister();
    takeFromCache(requireModule, folder);
    Object.assign(requireModule.cache, stock);
  }
}

function takeFromCache(requireModule: NodeJS.Require, folder: string): Record<string, NodeJS.Module> {
  const taken: Record<string, NodeJS.Module> = {};
  for (const [file, module] of Object.entries(requireModule.cache)) {
    if (module === undefined || !file.startsWith(folder + path.sep)) continue;
    taken[file] = module;
    delete requireModule.cache[file];
  }
  return taken;
}

export function applyPatch(source: string, patch: TextPatch): string {
  const parts = source.split(patch.anchor);
  if (parts.length !== 2)
    throw unfit(`patch ${patch.number}: ${parts.length - 1} anchors in ${patch.file}`, 'restore the package');
  return parts.join(patch.replacement);
}

function requireAllApplied(pending: ReadonlySet<TextPatch>): void {
  const [missing] = pending;
  if (missing !== undefined) throw unfit(`patch ${missing.number} was not applied`, 'report this');
}
