/** The users' files and main's own, each call a step of the world at which the disk fails or main dies. */
import callbackFs from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import qrcode from 'qrcode';
import type { BlobStorage } from '#main-agent/files/storage/blob-storage.ts';
import { toFileError } from '#main-agent/files/storage/file-error.ts';
import type { Enrolment, EnrolmentSource } from '#main-agent/users/user-source.ts';
import { findProcess, type Process } from './machine.ts';

/** Calls that change nothing: no full disk refuses them. */
const asking =
  /^(stat|read|find|folderId|isBeside|changed|readMany|findMany|requireNoTwin|measure|usage|survey|next|describe|stagings|stagingFor|stagingNear|at|list|close|readdir|open|names|openFolder|openAgain)$/;

/** How a test has the storage lie. */
export interface StorageLies {
  /** Says that it is done before it is. */
  readonly movesLater?: boolean;
}

/** Long enough to be answered, and to be killed. */
const laterMs = 2_000;

/** A medium, or any object of it, of which each call is begun at one turn and known to be done at another. */
export function gateMedium(
  medium: BlobStorage,
  process: Process,
  lies: StorageLies,
  onMet: (what: string) => void,
): BlobStorage {
  const originals = new WeakMap<object, object>();
  // The book asks for the same folder twice and wants the same object.
  const proxies = new WeakMap<object, object>();
  const unwrap = (value: unknown): unknown =>
    typeof value === 'object' && value !== null ? (originals.get(value) ?? value) : value;

  const wrap = <T>(value: T): T => {
    if (Array.isArray(value)) return value.map((one: unknown) => wrap(one)) as T;
    if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) === Object.prototype)
      return value;
    if (value instanceof Uint8Array || value instanceof Date) return value;
    const known = proxies.get(value);
    if (known !== undefined) return known as T;
    const proxy = new Proxy(value, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function' || typeof name !== 'string') return member;
        return (...args: unknown[]) => call(target, name, member as Method, args);
      },
    });
    originals.set(proxy, value);
    proxies.set(value, proxy);
    return proxy;
  };
  type Method = (...args: unknown[]) => unknown;

  const call = (target: object, name: string, member: Method, args: unknown[]): unknown => {
    if (name === 'names') return Reflect.apply(member, target, args);
    const given = args.map((one) => unwrap(one));
    if (name === 'at' && given.length === 1) return wrap(Reflect.apply(member, target, given));
    if (name === 'at') {
      const act = given[2] as Method;
      return Reflect.apply(member, target, [given[0], given[1], (spot: unknown) => act(wrap(spot))]);
    }
    const perform = async (): Promise<unknown> => {
      const error = asking.test(name) ? undefined : process.diskFault('files');
      if (error !== undefined) {
        onMet(`files: ${error.code ?? ''}`);
        if (process.machine.chance(1, 2)) half?.();
        throw toFileError(error);
      }
      return wrap(await (Reflect.apply(member, target, given) as Promise<unknown>));
    };
    const half =
      name === 'write' && Array.isArray(given[0])
        ? () => {
            const bytes = Buffer.concat(given[0] as Uint8Array[]);
            const part = bytes.subarray(0, process.machine.random(bytes.length + 1));
            void (Reflect.apply(member, target, [[part], given[1]]) as Promise<unknown>);
            onMet('a write was half done');
          }
        : undefined;
    if (lies.movesLater === true && name === 'moveTo') {
      setTimeout(() => void perform().catch(() => undefined), laterMs);
      return Promise.resolve();
    }
    return process.machine.gate(process, name, perform, { half });
  };
  return wrap(medium);
}

/** The enrolments' files: each call fails or is lost as a file's would. */
export function gateEnrolments(
  source: EnrolmentSource,
  process: Process,
  onMet: (what: string) => void,
): EnrolmentSource {
  const gate = <A extends unknown[], R>(name: string, act: (...args: A) => Promise<R>) => {
    return (...args: A): Promise<R> =>
      process.machine.gate(process, name, () => {
        const error = asking.test(name) ? undefined : process.diskFault('enrolments');
        if (error === undefined) return act(...args);
        onMet(`enrolments: ${error.code ?? ''}`);
        throw error;
      });
  };
  return {
    list: gate('list', () => source.list()),
    read: gate('read', (name: string) => source.read(name)),
    prepare: gate('prepare', (name: string, enrolment: Enrolment) => source.prepare(name, enrolment)),
    promote: gate('promote', (name: string, id: string) => source.promote(name, id)),
    remove: gate('remove', (name: string) => source.remove(name)),
  };
}

const opened = new Map<Process, Set<fs.FileHandle>>();
let met: (what: string) => void = () => undefined;

/** Whom what happens on main's own disk is told. */
export function watchOwnDisk(onMet: (what: string) => void): void {
  met = onMet;
}

/** A dead process has nothing open. */
export async function closeFilesOf(process: Process): Promise<void> {
  for (const handle of opened.get(process) ?? []) await handle.close().catch(() => undefined);
  opened.delete(process);
}

function gateHandle(handle: fs.FileHandle, process: Process): fs.FileHandle {
  const own = opened.get(process) ?? new Set<fs.FileHandle>();
  own.add(handle);
  opened.set(process, own);
  return new Proxy(handle, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      return (...args: unknown[]) => {
        const half = (): void => {
          if (name !== 'appendFile') return;
          const text = Buffer.from(args[0] as string);
          if (text.length === 0) return;
          callbackFs.writeSync(target.fd, text, 0, process.machine.random(text.length));
          met('a line of the audit was half written');
        };
        const perform = async (): Promise<unknown> => {
          const error = asking.test(name) || name === 'chmod' ? undefined : process.diskFault('audit');
          if (error !== undefined) {
            met(`audit: ${error.code ?? ''}`);
            half();
            throw error;
          }
          if (name === 'close') own.delete(target);
          return Reflect.apply(member, target, args);
        };
        return process.machine.gate(process, `audit ${name}`, perform, { half, isReal: true });
      };
    },
  });
}

/** Once, before main is begun. */
export function standInForDisks(): void {
  for (const name of [
    'open',
    'rename',
    'readdir',
    'unlink',
    'rm',
    'mkdir',
    'link',
    'readFile',
    'stat',
  ] as const) {
    const original = fs[name] as (...args: unknown[]) => Promise<unknown>;
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        const process = findProcess();
        if (process === undefined) return original(...args);
        const perform = async (): Promise<unknown> => {
          const error = asking.test(name) ? undefined : process.diskFault('audit');
          if (error !== undefined) {
            met(`audit: ${error.code ?? ''}`);
            throw error;
          }
          const result = await original(...args);
          return name === 'open' ? gateHandle(result as fs.FileHandle, process) : result;
        };
        return process.machine.gate(process, `audit ${name}`, perform, { isReal: true });
      },
    });
  }
  syncBuiltinESMExports();
  // The picture is packed by a thread, and nobody here looks at it.
  const draw = qrcode.toDataURL.bind(qrcode);
  qrcode.toDataURL = (text, options) =>
    findProcess() === undefined ? draw(text, options) : Promise.resolve('data:image/png;base64,');
}
