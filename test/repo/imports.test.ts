import { describe, expect, it } from 'vitest';
import { type Import, importsOf, listSources, readText } from './source-tree.ts';

const product = listSources('dmz', 'main-agent', 'shared');
const imports = product.flatMap(importsOf);

function describeImport(one: Import): string {
  return `${one.from} imports ${one.target}`;
}

/** Each direction with the reason it exists; the reason is what a failure prints. */
const forbiddenDirections: readonly { from: string; to: string; because: string }[] = [
  { from: 'shared/', to: 'dmz/', because: 'shared is the leaf both hosts run; it knows neither' },
  { from: 'shared/', to: 'main-agent/', because: 'shared is the leaf both hosts run; it knows neither' },
  {
    from: 'dmz/',
    to: 'main-agent/',
    because: 'the exposed host must not even contain the code that verifies, decides and stores',
  },
  {
    from: 'main-agent/',
    to: 'dmz/',
    because: "the trusted host must not contain code that parses strangers' protocols",
  },
];

/**
 * The floors of a house, the lowest first: a room may know what lies below it, never what lies above or beside it, types
 * included. What the house itself has beside its rooms (`limits.ts`, `system.ts`) belongs to no floor (D-107).
 */
const houses: readonly { house: string; floors: readonly (readonly string[])[]; because: string }[] = [
  {
    house: 'dmz',
    floors: [
      ['http-api', 'link'],
      ['web', 'guard', 'files', 'health'],
      ['login'],
      ['https', 'sftp'],
      ['cli', 'workers'],
    ],
    because:
      'limits, login and files are the same for every protocol, so they know none; and a flaw in one door must not ' +
      'reach the other',
  },
  {
    house: 'dmz/https',
    floors: [['exchange'], ['files'], ['api']],
    because: 'how a request is read and answered, and how bytes move, is the same for every route',
  },
  {
    house: 'main-agent',
    floors: [
      ['outbound'],
      ['state'],
      ['users', 'audit', 'two-factor'],
      ['vault', 'notify'],
      ['passwords'],
      ['sessions'],
      ['bans', 'restored', 'acme', 'host-keys'],
      ['link'],
      ['login', 'files'],
      ['account'],
      ['help-desk'],
      ['doctor', 'incident'],
      ['backup'],
      ['admin'],
      ['cli', 'system'],
    ],
    because:
      'who decides about a login must not depend on who shows it to an admin, nor a session on how it was opened: a ' +
      'room is read and judged with what lies below it alone',
  },
  {
    house: 'main-agent/admin',
    floors: [['access'], ['http']],
    because: 'who calls is known before it is known what is called, and how calls travel before what they do',
  },
  {
    house: 'main-agent/files/storage',
    floors: [['book', 'local']],
    because:
      'the book of uploads is the same for each medium, and a medium knows nothing of uploads: they meet in the contract',
  },
];

/** Rooms that know nothing of the product but themselves and what is named. */
const alone: readonly { room: string; knows: readonly string[]; because: string }[] = [
  {
    room: 'dmz/web',
    knows: ['dmz/http-api/'],
    because: 'browser code knows the public HTTP API and nothing behind it',
  },
  {
    room: 'dmz/http-api',
    knows: ['shared/problem.ts'],
    because: 'what both ends of an API agree on is code of neither',
  },
];

/** Where a package may be imported. One owner each, so that replacing it is a change in one room. */
const packageOwners: Readonly<Record<string, { folders: readonly string[]; because: string }>> = {
  ws: { folders: ['shared/link/'], because: 'the link is the only WebSocket there is' },
  jose: {
    folders: ['shared/assertion/', 'main-agent/acme/'],
    because: 'one place signs assertions and one verifies them; a certificate authority is asked in JWS, too',
  },
  ssh2: { folders: ['dmz/sftp/'], because: 'the trusted host parses no SSH' },
  undici: {
    folders: ['main-agent/outbound/'],
    because: 'the exposed host dials nobody; main dials from one room',
  },
  nodemailer: { folders: ['main-agent/notify/'], because: 'mail leaves from one room' },
  otplib: { folders: ['main-agent/two-factor/'], because: 'the exposed host holds no verifying code' },
  qrcode: { folders: ['main-agent/two-factor/'], because: 'the exposed host holds no secret to draw' },
  bcryptjs: { folders: ['main-agent/vault/'], because: 'the exposed host holds no verifying code' },
  yaml: {
    folders: ['shared/config/', 'main-agent/users/'],
    because: 'configuration and users are read by two checked readers, nowhere else',
  },
  commander: {
    folders: ['main-agent/cli/', 'dmz/cli/'],
    because: 'only the command line has a command line',
  },
  preact: { folders: ['dmz/web/'], because: 'browser code only' },
  '@preact/signals': { folders: ['dmz/web/'], because: 'browser code only' },
  vite: { folders: ['dmz/web/'], because: 'the bundler builds browser code only' },
};
const everywhere = ['zod', 'pino', 'prom-client'];

describe('import directions', () => {
  for (const { from, to, because } of forbiddenDirections) {
    it(`${from} never imports ${to}`, () => {
      const wrong = imports.filter(
        (one) => one.from.startsWith(from) && !one.isPackage && one.target.startsWith(to),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });
  }

  for (const { house, floors, because } of houses) {
    it(`no room of ${house} knows what is above or beside it`, () => {
      const floorOf = (file: string): number =>
        floors.findIndex((rooms) => rooms.some((room) => file.startsWith(`${house}/${room}/`)));
      const roomOf = (file: string): string | undefined => file.slice(house.length + 1).split('/')[0];
      const inHouse = imports.filter(
        ({ from, target }) => from.startsWith(`${house}/`) && target.startsWith(`${house}/`),
      );
      const wrong = inHouse.filter(
        ({ from, target }) =>
          floorOf(from) !== -1 && floorOf(from) <= floorOf(target) && roomOf(from) !== roomOf(target),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });

    it(`every room of ${house} has its floor`, () => {
      const rooms = new Set(
        product
          .filter((file) => file.startsWith(`${house}/`))
          .map((file) => file.slice(house.length + 1).split('/'))
          .flatMap(([room, ...rest]) => (room === undefined || rest.length === 0 ? [] : [room])),
      );
      expect(floors.flat().toSorted(), 'a new room is a decision: which floor is it on?').toEqual(
        [...rooms].toSorted(),
      );
    });
  }

  for (const { room, knows, because } of alone) {
    it(`${room} imports nothing else of the product${knows.length === 0 ? '' : ` but ${knows.join(', ')}`}`, () => {
      const wrong = imports.filter(
        ({ from, target, isPackage }) =>
          from.startsWith(`${room}/`) &&
          !isPackage &&
          ![`${room}/`, ...knows].some((known) => target.startsWith(known)),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });
  }

  it('dmz/web takes types from dmz/http-api, and numbers, but no code', () => {
    const wrong = listSources('dmz/web').filter((file) =>
      /^import (?!type )[^;]*'#dmz\/http-api\/(?!limits\.ts)[^']*'/m.test(readText(file)),
    );
    expect(wrong, 'a schema would bring the whole of zod into every first visit').toEqual([]);
  });

  it('a medium and the book of uploads are known to nobody but where they are put together, types included', () => {
    const storage = 'main-agent/files/storage/';
    const wrong = ['book', 'local'].flatMap((room) =>
      imports.filter(
        ({ from, target }) =>
          target.startsWith(`${storage}${room}/`) &&
          !from.startsWith(`${storage}${room}/`) &&
          from !== 'main-agent/files/storages.ts',
      ),
    );
    const because = 'an interface that names a class of the disk is one that no other medium can keep';
    expect(wrong.map(describeImport), because).toEqual([]);
  });

  it('finds the imports it judges', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.some((one) => one.target === 'ws')).toBe(true);
  });

  it('only main.ts, the process shell and the cli read process.argv, process.env or end the process', () => {
    const wrong = product.filter(
      (file) =>
        !/(^|\/)main\.ts$/.test(file) &&
        !file.startsWith('shared/process/') &&
        !file.includes('/cli/') &&
        !file.startsWith('dmz/web/') &&
        /\bprocess\.(argv|env|exit|on)\b/.test(readText(file)),
    );
    expect(wrong, 'a part that reads its surroundings by itself can not be tested or reasoned about').toEqual(
      [],
    );
  });

  it('no file re-exports another wholesale', () => {
    const wrong = product.filter((file) => /^\s*export \* from/m.test(readText(file)));
    expect(wrong, 'a barrel hides where a thing lives').toEqual([]);
  });
});

describe('circles', () => {
  const because =
    'what is in a circle can only be read, tested and replaced as one piece; put what they share below them all';
  const circlesOfFiles = describeCircles(graphOfFiles());
  const circlesOfFolders = graphsOfFolders().flatMap(describeCircles);

  it('no files import each other in a circle, types included', () => {
    expect(circlesOfFiles, because).toEqual([]);
  });

  // Of two folders side by side all that is in them counts. What lies in a folder beside its rooms is no room of it.
  it('no folders beside each other import each other in a circle, types included', () => {
    expect(circlesOfFolders, because).toEqual([]);
  });

  it('finds a circle of three, and none in a line', () => {
    const line = { a: ['b'], b: ['c'], c: [], d: ['a'] };
    const toGraph = (edges: Readonly<Record<string, readonly string[]>>): Map<string, Set<string>> =>
      new Map(Object.entries(edges).map(([from, to]) => [from, new Set(to)]));
    expect(describeCircles(toGraph(line))).toEqual([]);
    expect(describeCircles(toGraph({ ...line, c: ['a'] }))).toEqual(['a, b, c']);
  });
});

/** Who knows whom. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>;

function graphOfFiles(): Graph {
  const graph = new Map(product.map((file) => [file, new Set<string>()]));
  for (const { from, target } of imports) if (graph.has(target)) graph.get(from)?.add(target);
  return graph;
}

/** One for each folder: which of the folders in it know which, with all that lies below them. */
function graphsOfFolders(): readonly Graph[] {
  const graphs = new Map<string, Map<string, Set<string>>>();
  for (const { from, target, isPackage } of imports) {
    if (isPackage) continue;
    const [one, other] = [from.split('/'), target.split('/')];
    const depth = one.findIndex((part, at) => part !== other[at]);
    const isBetweenRooms = depth !== -1 && depth < one.length - 1 && depth < other.length - 1;
    if (!isBetweenRooms) continue;
    const roomOf = (parts: readonly string[]): string => parts.slice(0, depth + 1).join('/');
    const graph = getOrAdd(graphs, one.slice(0, depth).join('/'), () => new Map<string, Set<string>>());
    getOrAdd(graph, roomOf(one), () => new Set()).add(roomOf(other));
    getOrAdd(graph, roomOf(other), () => new Set());
  }
  return [...graphs.values()];
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

/** Every largest set of which each reaches each, as one line. */
function describeCircles(graph: Graph): string[] {
  const reached = new Map([...graph.keys()].map((start) => [start, reachFrom(graph, start)]));
  const circles = [...graph.keys()].map((one) =>
    [...(reached.get(one) ?? [])].filter((other) => reached.get(other)?.has(one) === true),
  );
  return [
    ...new Set(circles.filter(({ length }) => length > 1).map((circle) => circle.toSorted().join(', '))),
  ].toSorted();
}

function reachFrom(graph: Graph, start: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [start];
  for (let one = open.pop(); one !== undefined; one = open.pop())
    for (const next of graph.get(one) ?? [])
      if (!reached.has(next)) {
        reached.add(next);
        open.push(next);
      }
  return reached;
}

describe('packages', () => {
  for (const [name, { folders, because }] of Object.entries(packageOwners)) {
    it(`${name} is imported only by ${folders.join(', ')}`, () => {
      const wrong = imports.filter(
        (one) =>
          one.isPackage && one.target === name && !folders.some((folder) => one.from.startsWith(folder)),
      );
      expect(wrong.map(describeImport), because).toEqual([]);
    });
  }

  it('every imported package has an owner or is allowed everywhere', () => {
    const known = new Set([...Object.keys(packageOwners), ...everywhere]);
    const wrong = imports.filter(
      (one) => one.isPackage && !one.target.startsWith('node:') && !known.has(one.target),
    );
    expect(
      wrong.map(describeImport),
      'a new dependency is a decision: give it an owner and a reason here',
    ).toEqual([]);
  });

  it('no native addon is reachable from the exposed process', () => {
    const wrong = imports.filter((one) => one.target.endsWith('.node'));
    expect(
      wrong.map(describeImport),
      'native code in the exposed process can not be contained by the runtime',
    ).toEqual([]);
  });

  it('S-06: the DMZ has no code that dials', () => {
    const dialling =
      /\b(net|tls|http|https|http2)\.(connect|createConnection|request|get)\(|\bnew WebSocket\(|\bfetch\(/;
    const wrong = listSources('dmz').filter(
      (file) => !file.startsWith('dmz/web/') && dialling.test(readText(file)),
    );
    expect(wrong, 'the exposed host accepts and never dials').toEqual([]);
  });
});
