import type { Stage } from './web-stage.ts';

/**
 * The catalogue of everything the web client can look like: each page, dialog, panel and state by name, and how to
 * reach it on the stand-in server. `scripts/screens.ts` takes pictures of all of it, and `test/e2e/web-scenes.test.ts`
 * checks all of it for accessibility and for narrow windows. Words come from the stage, so every scene plays in every
 * language.
 */
export interface Scene {
  /** What is on the screen in the end, by the `data-view` of the components. */
  readonly shows: readonly string[];
  /** Who is signed in before it begins; nobody otherwise. */
  readonly as?: 'alice' | 'carol' | 'dave' | 'erin' | 'frank' | 'grace' | 'heidi';
  readonly at?: string;
  /** Needs a clock that can be moved. */
  readonly clock?: true;
  /** Leaves its browser offline or signed out: the next scene gets another one. */
  readonly spoils?: true;
  /** There on this kind of window only. */
  readonly only?: 'phone';
  readonly play?: (stage: Stage) => Promise<void>;
}

/** An upload that was begun in another life of the page. */
const unfinished = {
  id: 'x',
  path: '/Projects/film of the opening.mov',
  length: 4_800_000_000,
  offset: 2_900_000_000,
  overwrite: false,
  mtime: '2026-01-01T00:00:00Z',
  expires: '2030-01-01T00:00:00Z',
};

/** As another program leaves things on a storage. */
const unserved = { count: 23, names: ['aux.h', 'Rechnung M\\xe4rz.pdf', 'line\\u000abreak.txt', 'current'] };

const longName = 'site-plan-2026-final-version-with-all-corrections-by-the-architect.dwg';
const publicKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6k1q3mH2w6v1S9oYxkR0o4n4gq5bq8u1cS2mP9tL7x laptop';

const logo =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 24"><path d="M0 0h96v24H0z" fill="#7a1f5c"/></svg>';
/** As a company has it: a logo, a legal notice of some length, a colour of its own and whom to call. */
const branding = {
  name: 'Example Bank File Exchange',
  logo: { type: 'svg', content: Buffer.from(logo).toString('base64') },
  banner: `This system is for authorised users only.\n\n${'Activity is monitored and recorded. '.repeat(12)}`,
  accent: { light: '#7a1f5c', dark: '#d68bbb' },
  help: { text: 'No access? Call +1 555 0100', link: 'https://help.example.com/files' },
} as const;

async function setPassword(stage: Stage): Promise<void> {
  for (const label of [stage.words.password.next, stage.words.password.again])
    await stage.page.getByLabel(label, { exact: true }).fill('a few words in a row');
  await stage.press(stage.words.setPassword.submit);
}

const signIn = {
  'sign-in': { shows: ['sign-in'] },
  'sign-in-branded': {
    shows: ['sign-in'],
    spoils: true,
    play: async (stage) => {
      stage.node.branding = branding;
      await stage.page.reload();
      await stage.text(branding.help.text);
    },
  },
  'sign-in-missing': {
    shows: ['sign-in'],
    play: async (stage) => {
      await stage.press(stage.words.signIn.submit);
      await stage.alert();
    },
  },
  'sign-in-refused': {
    shows: ['sign-in'],
    play: async (stage) => {
      await stage.submitPassword('alice', 'wrong');
      await stage.alert();
    },
  },
  'sign-in-outage': {
    shows: ['sign-in', 'outage'],
    play: async (stage) => {
      stage.node.outageRetryAfter = 60;
      await stage.submitPassword('alice');
    },
  },
  starting: {
    shows: ['starting'],
    as: 'frank',
    spoils: true,
    play: async (stage) => {
      await stage.holdAccount();
      await stage.page.reload();
    },
  },
  'signed-out': {
    shows: ['sign-in'],
    as: 'frank',
    spoils: true,
    play: async (stage) => {
      await stage.signOut();
      await stage.text(stage.words.signIn.signedOut);
    },
  },
  'signed-out-elsewhere': {
    shows: ['sign-in'],
    as: 'frank',
    spoils: true,
    play: async (stage) => {
      const other = await stage.openBeside();
      await other.signOut();
      await other.page.close();
      await stage.text(stage.words.signIn.elsewhere);
    },
  },
  'session-over': {
    shows: ['sign-in'],
    as: 'frank',
    spoils: true,
    play: async (stage) => {
      stage.node.endSessionsOf('frank');
      await stage.enter('Projects');
      await stage.text(stage.words.signIn.expired);
    },
  },
  'second-factor-app': {
    shows: ['second-factor'],
    play: async (stage) => {
      await stage.submitPassword('alice');
      await stage.text(stage.words.code.fromApp);
    },
  },
  'second-factor-mail-wrong': {
    shows: ['second-factor'],
    play: async (stage) => {
      await stage.submitPassword('bob');
      await stage.typeCode('123456');
      await stage.press(stage.words.code.submit);
      await stage.alert();
    },
  },
  'second-factor-recovery': {
    shows: ['second-factor'],
    play: async (stage) => {
      await stage.submitPassword('alice');
      await stage.press(stage.words.code.useRecovery);
      await stage.typeCode('ABCD-EFGH-JKLM-NPQR');
    },
  },
  'second-factor-given': {
    shows: ['second-factor'],
    play: async (stage) => {
      await stage.submitPassword('ivan');
      await stage.text(stage.words.code.givenTitle);
    },
  },
  'sign-in-over': {
    shows: ['sign-in'],
    play: async (stage) => {
      await stage.submitPassword('alice');
      await stage.text(stage.words.code.fromApp);
      stage.node.endSessionsOf('alice');
      await stage.typeCode('123456');
      await stage.press(stage.words.code.submit);
      await stage.text(stage.words.signIn.startAgain);
    },
  },
  'set-password': { shows: ['set-password'], at: '/set-password#x' },
  'set-password-dead': {
    shows: ['set-password'],
    at: '/set-password#x',
    play: async (stage) => {
      await setPassword(stage);
      await stage.alert();
    },
  },
  'set-password-done': {
    shows: ['sign-in'],
    at: '/set-password#good',
    play: async (stage) => {
      await setPassword(stage);
      await stage.text(stage.words.setPassword.done);
    },
  },
  'main-down': {
    shows: ['unavailable', 'outage'],
    play: async (stage) => {
      stage.node.outageRetryAfter = 60;
      await stage.page.reload();
    },
  },
} satisfies Record<string, Scene>;

const setUp = {
  'setup-forced': { shows: ['two-factor-setup', 'setup-ready'], as: 'dave', at: '/files/Projects' },
  'setup-ready': { shows: ['two-factor-setup', 'setup-ready'], as: 'carol', at: '/setup' },
  'setup-scan': {
    shows: ['two-factor-setup', 'setup-scan'],
    as: 'carol',
    at: '/setup',
    play: (stage) => stage.press(stage.words.setup.readySubmit),
  },
  'setup-prove': {
    shows: ['two-factor-setup', 'setup-prove'],
    as: 'carol',
    at: '/setup',
    play: async (stage) => {
      await stage.press(stage.words.setup.readySubmit);
      await stage.press(stage.words.setup.confirm);
      await stage.typeCode('000000');
      await stage.press(stage.words.setup.proveSubmit);
      await stage.alert();
    },
  },
  'setup-codes': {
    shows: ['two-factor-setup', 'recovery-codes-shown'],
    as: 'carol',
    at: '/setup',
    play: (stage) => stage.finishSetup(),
  },
  'setup-scan-expired': {
    shows: ['two-factor-setup', 'setup-scan-expired'],
    as: 'carol',
    at: '/setup',
    clock: true,
    play: async (stage) => {
      await stage.press(stage.words.setup.readySubmit);
      await stage.page.getByRole('img', { name: stage.words.setup.qr }).waitFor();
      await stage.page.clock.runFor(31_000);
    },
  },
  'setup-prove-expired': {
    shows: ['two-factor-setup', 'setup-ready'],
    as: 'carol',
    at: '/setup',
    clock: true,
    play: async (stage) => {
      await stage.press(stage.words.setup.readySubmit);
      await stage.press(stage.words.setup.confirm);
      await stage.see('setup-prove');
      await stage.page.clock.runFor(125_000);
      await stage.alert();
    },
  },
  'setup-ticket': {
    shows: ['two-factor-setup', 'setup-ticket'],
    as: 'erin',
    at: '/setup',
    play: (stage) => stage.press(stage.words.setup.readySubmit),
  },
  'setup-ticket-wrong': {
    shows: ['two-factor-setup', 'setup-ticket'],
    as: 'erin',
    at: '/setup',
    play: async (stage) => {
      await stage.press(stage.words.setup.readySubmit);
      await stage.see('setup-ticket');
      await stage.typeCode('ABCD-EFGH');
      await stage.press(stage.words.setup.readySubmit);
      await stage.alert();
    },
  },
} satisfies Record<string, Scene>;

const files = {
  files: { shows: ['files'], as: 'carol', play: (stage) => stage.listed('offer.pdf') },
  'files-deep': {
    shows: ['files'],
    as: 'carol',
    at: '/files/Projects/2026',
    play: (stage) => stage.listed('plan.pdf'),
  },
  'files-selected': {
    shows: ['files'],
    as: 'carol',
    play: async (stage) => {
      await stage.select('offer.pdf');
      await stage.select(longName);
    },
  },
  'files-one-selected': { shows: ['files'], as: 'carol', play: (stage) => stage.select('notes.txt') },
  'files-menu': {
    shows: ['files', 'menu'],
    as: 'carol',
    play: (stage) => stage.press(stage.words.files.more('offer.pdf')),
  },
  'files-account-menu': {
    shows: ['files', 'menu'],
    as: 'carol',
    play: (stage) => stage.press(stage.words.header.account('carol')),
  },
  'files-add-menu': {
    shows: ['files', 'menu'],
    as: 'carol',
    only: 'phone',
    play: (stage) => stage.press(stage.words.files.add),
  },
  'files-rename': {
    shows: ['files', 'rename'],
    as: 'carol',
    play: (stage) => stage.choose('offer.pdf', stage.words.files.rename),
  },
  'files-rename-taken': {
    shows: ['files', 'rename'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose('offer.pdf', stage.words.files.rename);
      await stage.page.keyboard.insertText('notes.txt');
      await stage.page.getByLabel(stage.words.rename.label('offer.pdf')).fill('notes.txt');
      await stage.page.keyboard.press('Enter');
      await stage.alert();
    },
  },
  'files-unserved': {
    shows: ['files', 'unserved'],
    as: 'carol',
    play: async (stage) => {
      stage.node.unserved = unserved;
      await stage.page.reload();
      await stage.press(stage.words.unserved.note(23, '23'));
    },
  },
  'delete-unserved': {
    shows: ['delete'],
    as: 'carol',
    play: async (stage) => {
      await stage.listed('Projects');
      stage.node.unserved = unserved;
      await stage.choose('Projects', stage.words.files.delete);
      await stage.text(stage.words.unserved.deleted(23, '23'));
    },
  },
  'files-drop': {
    shows: ['files', 'drop'],
    as: 'carol',
    play: (stage) => stage.holdOver('#content'),
  },
  'files-loading': {
    shows: ['files', 'folder-loading'],
    as: 'carol',
    play: async (stage) => {
      stage.holdListings();
      await stage.page.reload();
      await stage.page.locator('.skeleton-row').first().waitFor();
    },
  },
  'folder-empty': { shows: ['files', 'folder-empty'], as: 'carol', at: '/files/Invoices' },
  'first-visit': {
    shows: ['files', 'first-visit'],
    as: 'carol',
    play: async (stage) => {
      stage.node.folders.clear();
      await stage.page.reload();
    },
  },
  'files-look-only': { shows: ['files'], as: 'frank', play: (stage) => stage.select('notes.txt') },
  'folder-closed': { shows: ['files', 'folder-closed'], as: 'frank', at: '/files/Invoices' },
  'folder-no-hit': {
    shows: ['files', 'folder-no-hit'],
    as: 'carol',
    play: async (stage) => {
      await stage.listed('offer.pdf');
      await stage.page.getByLabel(stage.words.files.filter).fill('contract of 2019');
    },
  },
  'folder-gone': { shows: ['files', 'folder-gone'], as: 'carol', at: '/files/nowhere' },
  'folder-broken': {
    shows: ['files', 'folder-broken'],
    as: 'carol',
    play: (stage) => stage.failListing(500),
  },
  'folder-forbidden': {
    shows: ['files', 'folder-forbidden'],
    as: 'carol',
    at: '/files/Projects',
    play: (stage) => stage.failListing(403),
  },
  'folder-offline': {
    shows: ['files', 'folder-broken'],
    as: 'carol',
    spoils: true,
    play: async (stage) => {
      await stage.listed('Projects');
      await stage.page.context().setOffline(true);
      await stage.enter('Projects');
    },
  },
  'network-down': {
    shows: ['unavailable', 'outage'],
    as: 'carol',
    spoils: true,
    play: async (stage) => {
      await stage.listed('Projects');
      await stage.page.context().setOffline(true);
      await stage.press(stage.words.header.account('carol'));
      await stage.item(stage.words.header.options);
    },
  },
  'session-end': {
    shows: ['files', 'session-end'],
    as: 'carol',
    clock: true,
    play: async (stage) => {
      await stage.listed('offer.pdf');
      await stage.page.waitForLoadState('networkidle');
      await stage.page.clock.fastForward('13:30');
    },
  },
  'session-end-hard': { shows: ['files', 'session-end'], as: 'grace' },
} satisfies Record<string, Scene>;

const dialogs = {
  'new-folder': {
    shows: ['new-folder'],
    as: 'carol',
    play: (stage) => stage.addFolder(),
  },
  'new-folder-taken': {
    shows: ['new-folder'],
    as: 'carol',
    play: async (stage) => {
      await stage.addFolder();
      await stage.page.getByLabel(stage.words.newFolder.label).fill('Invoices');
      await stage.press(stage.words.newFolder.submit);
      await stage.alert();
    },
  },
  move: {
    shows: ['move'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose('offer.pdf', stage.words.files.move);
      await stage.dialogButton('Projects').click();
      await stage.dialogButton('2026').waitFor();
    },
  },
  copy: {
    shows: ['move'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose(longName, stage.words.files.copy);
      await stage.dialogButton('Projects').waitFor();
    },
  },
  'move-conflict': {
    shows: ['move-conflict'],
    as: 'carol',
    play: async (stage) => {
      stage.node.folders.putFile(['Projects', 'offer.pdf'], Buffer.from('another'));
      stage.node.folders.putFile(['Projects', 'notes.txt'], Buffer.from('another'));
      await stage.select('offer.pdf');
      await stage.select('notes.txt');
      await stage.press(stage.words.files.move);
      await stage.dialogButton('Projects').click();
      await stage.dialogButton('2026').waitFor();
      await stage.press(stage.words.move.submit('move'));
      await stage.text(stage.words.conflict.there);
    },
  },
  'move-working': {
    shows: ['move-working'],
    as: 'carol',
    play: async (stage) => {
      await stage.select('offer.pdf');
      await stage.select('notes.txt');
      await stage.press(stage.words.files.move);
      await stage.dialogButton('Projects').click();
      await stage.dialogButton('2026').waitFor();
      stage.holdListings();
      await stage.press(stage.words.move.submit('move'));
      await stage.text(stage.words.move.working('2', '2'));
    },
  },
  delete: {
    shows: ['delete'],
    as: 'carol',
    play: (stage) => stage.choose(longName, stage.words.files.delete),
  },
  'delete-several': {
    shows: ['delete'],
    as: 'carol',
    play: async (stage) => {
      await stage.select('Projects');
      await stage.select('notes.txt');
      await stage.press(stage.words.files.delete);
    },
  },
  'preview-picture': {
    shows: ['preview'],
    as: 'carol',
    play: async (stage) => {
      stage.node.folders.putFile(['entrance hall.png'], await stage.page.screenshot());
      await stage.page.reload();
      await stage.choose('entrance hall.png', stage.words.files.open);
      await stage.page.getByRole('img', { name: 'entrance hall.png' }).waitFor();
    },
  },
  'preview-text': {
    shows: ['preview'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose('notes.txt', stage.words.files.open);
      await stage.text(/content of/);
    },
  },
  'preview-text-cut': {
    shows: ['preview'],
    as: 'carol',
    play: async (stage) => {
      const line = '2026-11-24T09:31:07Z gateway-2 accepted 203.0.113.9 port 50122 after 12 ms\n';
      stage.node.folders.putFile(['gateway.log'], Buffer.from(line.repeat(80)), Date.now(), 2_600_000);
      await stage.page.reload();
      await stage.choose('gateway.log', stage.words.files.open);
      await stage.text(/accepted/);
    },
  },
  'preview-too-large': {
    shows: ['preview'],
    as: 'carol',
    play: async (stage) => {
      stage.node.folders.putFile(['panorama.jpg'], Buffer.alloc(0), Date.now(), 48_000_000);
      await stage.page.reload();
      await stage.choose('panorama.jpg', stage.words.files.open);
      await stage.alert();
    },
  },
  'preview-broken': {
    shows: ['preview'],
    as: 'carol',
    play: async (stage) => {
      stage.node.folders.putFile(['torn.png'], Buffer.from('no picture'));
      await stage.page.reload();
      await stage.choose('torn.png', stage.words.files.open);
      await stage.text(stage.words.preview.broken);
    },
  },
  'keyboard-map': {
    shows: ['keyboard-map'],
    as: 'carol',
    play: async (stage) => {
      await stage.press(stage.words.header.account('carol'));
      await stage.item(stage.words.header.keyboard);
    },
  },
} satisfies Record<string, Scene>;

/** A file and a folder deleted here, one by somebody else, one replaced. */
function fillBin({ node }: Stage): void {
  const { folders } = node;
  const put = (id: string, path: readonly string[], by: string, reason: 'deleted' | 'replaced'): void => {
    const entry = folders.find(path);
    if (entry !== undefined) node.bin.push({ id: id.padStart(22, 'x'), path, entry, by, reason });
  };
  put('a', ['offer.pdf'], 'carol', 'replaced');
  put('b', [longName], 'maintenance-at-the-main-building', 'deleted');
  put('c', ['Projects', '2026'], 'carol', 'deleted');
}

const bin = {
  'notice-undo': {
    shows: ['files', 'notice'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose('notes.txt', stage.words.files.delete);
      await stage.dialogButton(stage.words.remove.submit).click();
      await stage.text(stage.words.bin.undo);
    },
  },
  bin: {
    shows: ['bin'],
    as: 'carol',
    at: '/bin',
    play: async (stage) => {
      fillBin(stage);
      await stage.page.reload();
      await stage.select('offer.pdf');
    },
  },
  'bin-empty': { shows: ['bin', 'bin-empty'], as: 'carol', at: '/bin' },
  'bin-broken': {
    shows: ['bin', 'bin-broken'],
    as: 'carol',
    at: '/bin',
    play: async (stage) => {
      await stage.see('bin-empty');
      stage.node.nextListingStatus = 500;
      await stage.page.reload();
    },
  },
  'bin-loading': {
    shows: ['bin', 'folder-loading'],
    as: 'carol',
    at: '/bin',
    play: async (stage) => {
      await stage.see('bin-empty');
      stage.holdListings();
      await stage.page.reload();
    },
  },
  'bin-taken': {
    shows: ['bin', 'bin-taken'],
    as: 'carol',
    at: '/bin',
    play: async (stage) => {
      fillBin(stage);
      await stage.page.reload();
      await stage.press(stage.words.bin.restoreOne('offer.pdf'));
    },
  },
  'bin-question': {
    shows: ['bin', 'bin-question'],
    as: 'carol',
    at: '/bin',
    play: async (stage) => {
      fillBin(stage);
      await stage.page.reload();
      await stage.press(stage.words.bin.empty);
    },
  },
} satisfies Record<string, Scene>;

const uploads = {
  'uploads-running': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.holdUploads();
      await stage.upload(
        'tender.zip',
        'report.docx',
        'letter to the council.docx',
        'picture.png',
        'plan b.dwg',
      );
      await stage.text(stage.words.uploads.waiting);
    },
  },
  'uploads-conflict': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      await stage.upload('offer.pdf', 'fresh.txt');
      await stage.text(stage.words.uploads.conflict);
      await stage.text(stage.words.conflict.there);
      await stage.text(stage.words.uploads.done);
    },
  },
  'uploads-bad-name': {
    shows: ['files', 'uploads', 'upload-new-name'],
    as: 'carol',
    play: async (stage) => {
      await stage.upload('con.txt', 'fresh.txt');
      await stage.text(stage.words.uploads.badName);
      await stage.text(stage.words.uploads.done);
    },
  },
  'uploads-paused': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.holdUploads();
      await stage.upload('tender.zip', 'report.docx');
      await stage.press(stage.words.uploads.pauseAll);
      await stage.text(stage.words.uploads.paused);
    },
  },
  'uploads-failed': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.node.uploadStatus = 403;
      await stage.upload('tender.zip', 'report.docx');
      await stage.text(stage.words.failure.forbidden, 'part');
    },
  },
  'uploads-quota-full': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.node.uploadStatus = 507;
      await stage.upload('tender.zip');
      await stage.text(stage.words.failure.quota, 'part');
    },
  },
  'uploads-reconnecting': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.node.uploadStatus = 502;
      await stage.upload('tender.zip');
      await stage.text(stage.words.uploads.reconnecting);
    },
  },
  'uploads-unfinished': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.node.uploads = [unfinished];
      await stage.page.reload();
      await stage.text(stage.words.uploads.chooseFile);
    },
  },
  'uploads-other-file': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      stage.node.uploads = [unfinished];
      await stage.page.reload();
      await stage.text(stage.words.uploads.chooseFile);
      const file = { name: 'other.mov', mimeType: 'video/quicktime', buffer: Buffer.from('other') };
      await stage.page.locator('.upload-chooser').setInputFiles(file);
      await stage.text(stage.words.uploads.otherFile);
    },
  },
  'uploads-done': {
    shows: ['files', 'uploads'],
    as: 'carol',
    play: async (stage) => {
      await stage.upload('fresh.txt', 'letter to the council, signed by everybody on the second page.docx');
      await stage.text(stage.words.uploads.progress('2', '2'));
    },
  },
  'notice-done': {
    shows: ['files', 'notice'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose(longName, stage.words.files.delete);
      await stage.press(stage.words.remove.submit);
    },
  },
  'notice-failure': {
    shows: ['files', 'notice'],
    as: 'carol',
    play: async (stage) => {
      await stage.choose('notes.txt', stage.words.files.delete);
      stage.node.folders.remove(['notes.txt']);
      await stage.press(stage.words.remove.submit);
    },
  },
  'download-prepared': {
    shows: ['files', 'notice'],
    as: 'carol',
    play: async (stage) => {
      stage.holdDownloads();
      await stage.choose('Projects', stage.words.files.download);
      await stage.text(stage.words.download.working);
    },
  },
  'download-refused': {
    shows: ['files', 'notice'],
    as: 'carol',
    play: async (stage) => {
      stage.node.downloadRefusal = { status: 429, reason: 'too-many', bound: 'entries', maximum: 50_000 };
      await stage.choose('Projects', stage.words.files.download);
      await stage.text(/50[.,]000/, 'part');
    },
  },
  'notice-reminder': { shows: ['files', 'notice'], as: 'heidi' },
} satisfies Record<string, Scene>;

const options = {
  options: {
    shows: ['options', 'two-factor', 'password', 'ssh-keys', 'sessions', 'devices', 'account', 'appearance'],
    as: 'carol',
    at: '/options',
  },
  'options-enrolled': {
    shows: ['options', 'two-factor', 'recovery-codes', 'sessions'],
    as: 'alice',
    at: '/options',
    play: (stage) => stage.see('sessions'),
  },
  'signed-in-by-recovery': {
    shows: ['files', 'notice'],
    spoils: true,
    play: async (stage) => {
      await stage.signInByRecovery();
      await stage.text(stage.words.options.byRecovery(0));
    },
  },
  'options-after-recovery': {
    shows: ['options', 'recovery-codes'],
    spoils: true,
    play: async (stage) => {
      await stage.signInByRecovery();
      await stage.press(stage.words.options.title);
      await stage.text(stage.words.recoveryCodes.usedLast);
    },
  },
  'options-closed': { shows: ['options', 'two-factor', 'sessions'], as: 'frank', at: '/options' },
  'options-required-later': { shows: ['options', 'two-factor', 'sessions'], as: 'heidi', at: '/options' },
  password: {
    shows: ['password', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.password.change);
      await stage.page.getByLabel(stage.words.password.next, { exact: true }).fill('seven words in one row');
    },
  },
  'password-short': {
    shows: ['password', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.password.change);
      await stage.page.getByLabel(stage.words.password.next, { exact: true }).fill('seven');
      await stage.stepUp(stage.words.password.change);
      await stage.alert();
    },
  },
  'recovery-renewal': {
    shows: ['recovery-codes', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.recoveryCodes.renew);
      stage.node.nextChangeRefusal = { status: 403, reason: 'wrong-password' };
      await stage.stepUp(stage.words.recoveryCodes.renew);
      await stage.alert();
    },
  },
  'recovery-renewed': {
    shows: ['recovery-codes', 'recovery-codes-shown'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.recoveryCodes.renew);
      await stage.stepUp(stage.words.recoveryCodes.renew);
    },
  },
  'ssh-key-add': {
    shows: ['ssh-keys', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.sshKeys.add);
      await stage.page.getByLabel(stage.words.sshKeys.line).fill(publicKey);
    },
  },
  'ssh-key-refused': {
    shows: ['ssh-keys', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.sshKeys.add);
      await stage.page.getByLabel(stage.words.sshKeys.line).fill('ssh-rsa AAAAB3NzaC1yc2E old laptop');
      stage.node.nextChangeRefusal = {
        status: 422,
        reason: 'weak-key',
        weakness: 'key-too-short',
        minimum: 3072,
      };
      await stage.stepUp(stage.words.sshKeys.add);
      await stage.alert();
    },
  },
  'ssh-key-private': {
    shows: ['ssh-keys', 'step-up'],
    as: 'alice',
    at: '/options',
    play: async (stage) => {
      await stage.press(stage.words.sshKeys.add);
      await stage.page.getByLabel(stage.words.sshKeys.line).fill('-----BEGIN OPENSSH PRIVATE KEY-----');
      await stage.stepUp(stage.words.sshKeys.add);
      await stage.alert();
    },
  },
  'ssh-key-remove': {
    shows: ['ssh-keys', 'step-up'],
    as: 'alice',
    at: '/options',
    play: (stage) => stage.press(stage.words.sshKeys.remove('laptop')),
  },
} satisfies Record<string, Scene>;

export const scenes = {
  ...signIn,
  ...setUp,
  ...files,
  ...dialogs,
  ...bin,
  ...uploads,
  ...options,
} satisfies Record<string, Scene>;
