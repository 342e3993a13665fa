import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { Http } from '#dmz/web/api/http.ts';
import type { ApiProblem } from '#dmz/web/api/problem.ts';
import type { Formats } from '#dmz/web/format/formats.ts';
import type { Catalogue } from '#dmz/web/i18n/en.ts';
import { Bin } from '#dmz/web/state/bin.ts';
import { FileActions } from '#dmz/web/state/file-actions.ts';
import { FileSamples } from '#dmz/web/state/file-samples.ts';
import { Folder } from '#dmz/web/state/folder.ts';
import { Notices } from '#dmz/web/state/notices.ts';
import { Preferences } from '#dmz/web/state/preferences.ts';
import { Press } from '#dmz/web/state/press.ts';
import { Route } from '#dmz/web/state/route.ts';
import { Selection } from '#dmz/web/state/selection.ts';
import { SessionEndWatch } from '#dmz/web/state/session-end.ts';
import { Session } from '#dmz/web/state/session.ts';
import { Uploads } from '#dmz/web/state/uploads.ts';
import { Views } from '#dmz/web/state/views.ts';
import { watchUser } from '#dmz/web/state/watch-user.ts';

/** The parts of the client, wired once; pages reach them through `useClient`. */
interface Client {
  /** Name of this place, as the page's head says. */
  readonly brand: string;
  /** What else the page's head says of it. */
  readonly branding: Branding;
  readonly http: Http;
  readonly preferences: Preferences;
  readonly route: Route;
  readonly views: Views;
  readonly session: Session;
  readonly sessionEnd: SessionEndWatch;
  readonly notices: Notices;
  readonly folder: Folder;
  readonly selection: Selection;
  readonly uploads: Uploads;
  readonly actions: FileActions;
  readonly bin: Bin;
}

interface Branding {
  /** Address of the logo. */
  readonly logo?: string;
  readonly banner?: string;
  readonly help?: { readonly text: string; readonly link?: string };
}

/** Ours, as the page was served; a page without it has none. */
function readBranding(browser: Window): Branding {
  const told = browser.document.querySelector<HTMLMetaElement>('meta[name="sallyport-branding"]');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the door that served the page wrote it
  return told === null ? {} : (JSON.parse(told.content) as Branding);
}

export function buildClient(browser: Window): Client {
  const named = browser.document.querySelector<HTMLMetaElement>('meta[name="application-name"]');
  const onProblem = (problem: ApiProblem, askedAtMs?: number): void => session.observe(problem, askedAtMs);
  const http = new Http({
    fetch: (input, init) => browser.fetch(input, init),
    onAnswer: () => session.noteUse(),
    onProblem,
  });
  const preferences = new Preferences(browser);
  const session = new Session(http, new BroadcastChannel('sallyport'));
  const notices = new Notices();
  const folder = new Folder(http, preferences, new Press(browser));
  const selection = new Selection();
  const uploads = new Uploads({
    http,
    samples: new FileSamples(browser),
    folder,
    onProblem,
    onFinished: (counts) => notices.say(preferences.words.value.uploads.finished(counts)),
  });
  const bin = new Bin({ http, folder, notices, preferences });
  const actions = new FileActions({ http, screen: folder, selection, notices, preferences, uploads, bin });
  const route = new Route(browser);
  const views = new Views(browser, route);
  watchUser({ bin, views, session, uploads, folder, selection, notices, preferences });
  watchLeaving(browser, uploads);
  browser.addEventListener('online', () => {
    uploads.reconnect();
    void folder.reconnect();
  });
  return {
    brand: named?.content || 'Sallyport',
    branding: readBranding(browser),
    http,
    preferences,
    route,
    views,
    session,
    sessionEnd: new SessionEndWatch(session),
    notices,
    folder,
    selection,
    uploads,
    actions,
    bin,
  };
}

function watchLeaving(browser: Window, uploads: Uploads): void {
  browser.addEventListener('beforeunload', (event) => {
    if (uploads.running.value) event.preventDefault();
  });
}

export const ClientContext = createContext<Client | undefined>(undefined);

export function useClient(): Client {
  const client = useContext(ClientContext);
  if (client === undefined) throw new Error('rendered outside of the client');
  return client;
}

export function useWords(): Catalogue {
  return useClient().preferences.words.value;
}

export function useFormats(): Formats {
  return useClient().preferences.formats.value;
}
