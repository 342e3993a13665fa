/** What people do with their files, what they hold by what they were answered, and what thieves of a session try. */
import type { RemoteFile } from '#dmz/files/file-client.ts';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import type { OpenMode } from '#shared/file-service/attributes.ts';
import { requireComponents } from '#shared/file-service/virtual-path.ts';
import type { Held, Person } from './oracle.ts';
import { refusalOf } from './visits.ts';
import type { World } from './world.ts';

const writing: OpenMode = { read: false, write: true, create: 'if-missing', truncate: true, append: false };
const reading: OpenMode = { read: true, write: false, create: 'never', truncate: false, append: false };

/** Nothing was done, for sure. Not `no-session`: a change that is asked about again may have been made before that ended. */
const untouched = new Set(['quota-exceeded', 'not-found', 'permission-denied', 'setup-required', 'exists']);

/** Through the process that the session is used by. */
function ask<T>({ node, process }: Held, act: () => Promise<T>): Promise<T> {
  return node.ask(act, process);
}

type Slot = Person['files'] extends Map<string, infer V> ? V : never;

function slotOf(person: Person, name: string): Slot {
  const slot = person.files.get(name) ?? { may: [undefined], isBusy: false };
  person.files.set(name, slot);
  return slot;
}

function invent(world: World, person: Person): string {
  const { machine } = world;
  const bytes = machine.chance(1, 6) ? 20_000 + machine.random(150_000) : machine.random(12_000);
  return `content ${(world.contents += 1)} of ${person.name};`.padEnd(bytes, `${world.contents} `);
}

/** One thing with one file. */
export async function work(world: World, held: Held): Promise<void> {
  const { machine } = world;
  const { person } = held;
  const name = `file${machine.random(8)}`;
  const slot = slotOf(person, name);
  if (slot.isBusy || held.unsure.has(name)) return;
  slot.isBusy = true;
  try {
    const isSure = slot.may.length === 1;
    // What nobody knows the state of is only looked at, so that nothing late can be mistaken for something else.
    const act = isSure ? machine.pick([upload, upload, upload, download, remove, rename, list]) : download;
    await act(world, held, name, slot);
  } finally {
    slot.isBusy = false;
  }
}

type Act = (world: World, held: Held, name: string, slot: Slot) => Promise<void>;

const upload: Act = async (world, held, name, slot) => {
  const { oracle } = world;
  const { person } = held;
  const content = invent(world, person);
  world.machine.tell(`${person.name}'s ${name}: upload of ${show(content)} in session ${held.number}`);
  const why = oracle.whyDead(held);
  const before = world.disk.records.length;
  let file: RemoteFile | undefined;
  try {
    const opened = await ask(held, () => held.admitted.files.open(requireComponents([name]), writing));
    file = opened;
    await send(world, held, opened, Buffer.from(content));
    slot.may.push(content);
    await ask(held, () => opened.commit());
  } catch (error) {
    const code = refusalOf(world, error, 'an upload');
    if (untouched.has(code)) slot.may = slot.may.filter((one) => one !== content);
    tellEnd(world, held, name, `upload: ${code}`);
    // A session sees what it is uploading.
    held.unsure.add(name);
    await ask(held, async () => file?.release()).catch(() => undefined);
    return;
  }
  slot.may = [content];
  oracle.succeeded(held, why, 'an upload');
  requireRecord(world, held, 'file.upload', name, before);
  tellEnd(world, held, name, 'upload: done');
};

/** Small ones as a request, others by a stream, taken up again when the link was lost. */
async function send(world: World, held: Held, file: RemoteFile, bytes: Buffer): Promise<void> {
  if (bytes.length <= file.writeUpTo && bytes.length > 0) {
    await ask(held, () => file.write(0, [bytes]));
    world.met('written by a request');
    return;
  }
  let offset = 0;
  for (let tries = 0; tries < 6; tries += 1) {
    try {
      await ask(held, () => stream(file, bytes, offset));
      world.met('written by a stream');
      return;
    } catch (error) {
      if (!isSallyportError(error, 'link-down')) throw error;
      const { size } = await ask(held, () => file.resume());
      offset = Math.min(size, bytes.length);
      world.met('a stream was taken up again');
    }
  }
  throw new SallyportError('link-down', 'Given up');
}

function stream(file: RemoteFile, bytes: Buffer, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const opened = file.writeStream({ offset });
    opened.onEnd = () => resolve();
    opened.onReset = reject;
    opened.write(bytes.subarray(offset));
    opened.end();
  });
}

const download: Act = async (world, held, name, slot) => {
  const { oracle } = world;
  const { person } = held;
  const why = oracle.whyDead(held);
  const before = [...slot.may];
  let content: string | undefined;
  world.machine.tell(`${person.name}'s ${name}: download in session ${held.number}`);
  try {
    const file = await ask(held, () =>
      held.admitted.files.open(requireComponents([name]), reading, undefined, 8_192),
    );
    const bytes = file.content ?? (await ask(held, () => receive(file)));
    content = bytes.toString();
    file.noteTaken(bytes.length, bytes.length);
    await ask(held, () => file.release());
  } catch (error) {
    const code = refusalOf(world, error, 'a download');
    tellEnd(world, held, name, `download: ${code}`);
    if (code !== 'not-found') return;
  }
  oracle.succeeded(held, content === undefined ? undefined : why, 'a download');
  tellEnd(world, held, name, 'download: done');
  if (content !== undefined && !content.includes(` of ${person.name};`) && content !== '')
    oracle.violated('S-04', `${person.name} read ${content.slice(0, 60)}`);
  if (!before.includes(content))
    oracle.violated(
      'files',
      `${person.name}'s ${name} is ${show(content)}, and may be ${before.map(show).join(' or ')}`,
    );
};

function tellEnd(world: World, { person, number }: Held, name: string, what: string): void {
  world.met(what);
  world.machine.tell(`${person.name}'s ${name}: ${what} in session ${number}`);
}

function show(content: string | undefined): string {
  return content === undefined ? 'not there' : `${content.slice(0, 40).trim()} (${content.length})`;
}

function receive(file: RemoteFile): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const opened = file.readStream({ offset: 0 });
    opened.onData = (bytes, release) => {
      pieces.push(Buffer.from(bytes));
      release();
    };
    opened.onEnd = () => resolve(Buffer.concat(pieces));
    opened.onReset = reject;
  });
}

const remove: Act = async (world, held, name, slot) => {
  const { oracle } = world;
  const why = oracle.whyDead(held);
  const before = world.disk.records.length;
  const [had] = slot.may;
  world.machine.tell(`${held.person.name}'s ${name}: remove in session ${held.number}`);
  try {
    if (had !== undefined) slot.may.push(undefined);
    await ask(held, () => held.admitted.files.removeFile(requireComponents([name])));
  } catch (error) {
    const code = refusalOf(world, error, 'a removal');
    tellEnd(world, held, name, `remove: ${code}`);
    if (untouched.has(code)) {
      if (code === 'not-found' && had !== undefined)
        oracle.violated('files', `${held.person.name}'s ${name} is gone, and was ${show(had)}`);
      slot.may = [had];
    }
    return;
  }
  slot.may = [undefined];
  oracle.succeeded(held, why, 'a removal');
  requireRecord(world, held, 'file.delete', name, before);
  tellEnd(world, held, name, 'remove: done');
};

const rename: Act = async (world, held, name, slot) => {
  const { machine, oracle } = world;
  const other = `file${machine.random(8)}`;
  const target = slotOf(held.person, other);
  if (target.isBusy || target.may.length !== 1 || other === name || slot.may[0] === undefined) return;
  target.isBusy = true;
  const why = oracle.whyDead(held);
  const before = world.disk.records.length;
  const [moved, replaced] = [slot.may[0], target.may[0]];
  machine.tell(`${held.person.name}'s ${name}: rename to ${other} in session ${held.number}`);
  try {
    slot.may.push(undefined);
    target.may.push(moved);
    await ask(held, () =>
      held.admitted.files.rename(requireComponents([name]), requireComponents([other]), { overwrite: true }),
    );
    slot.may = [undefined];
    target.may = [moved];
    oracle.succeeded(held, why, 'a rename');
    requireRecord(world, held, 'file.rename', name, before);
    tellEnd(world, held, name, 'rename: done');
  } catch (error) {
    const code = refusalOf(world, error, 'a rename');
    tellEnd(world, held, name, `rename: ${code}`);
    if (untouched.has(code)) {
      slot.may = [moved];
      target.may = [replaced];
    }
  } finally {
    target.isBusy = false;
  }
};

const list: Act = async (world, held) => {
  const { oracle } = world;
  const why = oracle.whyDead(held);
  try {
    const { entries } = await ask(held, () =>
      held.admitted.files.list(requireComponents([]), { limit: 100, sort: 'name' }),
    );
    oracle.succeeded(held, why, 'a listing');
    const strange = entries.filter(({ name }) => !held.person.files.has(name));
    if (strange.length > 0)
      oracle.violated('S-04', `${held.person.name} sees ${strange.map(({ name }) => name).join()}`);
    world.met('list: done');
  } catch (error) {
    world.met(`list: ${refusalOf(world, error, 'a listing')}`);
  }
};

/** S-14: a change that was answered has its record, and that is durable. */
function requireRecord(world: World, held: Held, event: string, name: string, from: number): void {
  const isThere = world.disk.records
    .slice(from)
    .some(
      (record) =>
        record.event === event && record.user === held.person.name && record.path?.endsWith(name) === true,
    );
  if (!isThere)
    world.oracle.violated('S-14', `${event} of ${held.person.name}'s ${name} was answered and has no record`);
}

/** S-04, S-05: somebody has the id of a session, and uses it where it is not of. */
export async function steal(world: World, held: Held): Promise<void> {
  const { machine, oracle } = world;
  const node = machine.pick(world.nodes);
  const { session } = held.admitted.view;
  const isOwn =
    node.name === held.node.name && (held.protocol === 'https' || node.worker === held.node.worker);
  const isFull = held.admitted.view.state === 'signed-in';
  const why = oracle.whyDead(held);
  const client = { ip: '203.0.113.66', port: 4711, agent: 'thief' };
  const isList = machine.chance(1, 2);
  try {
    await node.ask<unknown>(() =>
      isList
        ? node.client.request('fs.list', { session, path: [], limit: 10, sort: 'name' })
        : node.client.request('session.attach', { session, client }),
    );
  } catch (error) {
    world.met(`stolen session: ${refusalOf(world, error, 'a theft')}`);
    return;
  }
  if (!isOwn) oracle.violated('S-04', `session ${held.number} of ${held.node.label} works on ${node.label}`);
  if (isList && !isFull)
    oracle.violated('S-05', `session ${held.number} is confined to set-up and lists files`);
  oracle.succeeded(held, why, 'what a thief asked');
  world.met('own session at another worker');
}
