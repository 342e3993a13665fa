import { useEffect, useState } from 'preact/hooks';
import { toApiProblem } from '#dmz/web/api/problem.ts';
import { endOwn, listOwn } from '#dmz/web/api/self-service.ts';
import { Button } from '#dmz/web/components/button.tsx';
import { Panel } from '#dmz/web/components/panel.tsx';
import { describeAgent } from '#dmz/web/format/agent.ts';
import { describeFailure } from '#dmz/web/i18n/failure.ts';
import { useClient, useFormats, useWords } from '#dmz/web/state/client.ts';

type Own = Awaited<ReturnType<typeof listOwn>>;

/** Where this person is signed in, what goes on without a code, and which browsers are remembered. */
export function SessionsPanel() {
  const { http, notices, session } = useClient();
  const words = useWords();
  const formats = useFormats();
  const [own, setOwn] = useState<Own | undefined>();
  const load = async (): Promise<void> => {
    try {
      setOwn(await listOwn(http));
    } catch (thrown) {
      notices.failure(describeFailure(toApiProblem(thrown), words));
    }
  };
  useEffect(() => void load(), []);
  const end = async (what: 'sessions' | 'leases' | 'devices', id: string): Promise<void> => {
    try {
      await endOwn(http, what, id);
      notices.info(words.sessions.ended);
    } catch (thrown) {
      notices.failure(describeFailure(toApiProblem(thrown), words));
    }
    await load();
  };
  const nameOf = (agent: string | undefined, otherwise: string): string => {
    const client = describeAgent(agent ?? '');
    if (client === undefined) return otherwise;
    return client.system === undefined ? client.name : words.sessions.on(client.name, client.system);
  };
  const date = (time: string): string => formats.modified(Date.parse(time), Date.now());
  if (own === undefined) return null;
  return (
    <>
      <Panel view="sessions" title={words.sessions.title}>
        <ul class="own-list">
          {own.sessions.map((one) => (
            <li key={one.id}>
              <div class="own-text">
                <span class="own-name">
                  <span>{nameOf(one.agent, words.sessions.doors[one.protocol])}</span>
                  {one.current && <span class="badge badge-ok">{words.sessions.current}</span>}
                </span>
                <span class="own-facts">
                  {words.sessions.from(words.sessions.doors[one.protocol], one.client_ip)} ·{' '}
                  {words.sessions.since(date(one.started_at))}
                </span>
              </div>
              <Button onClick={() => void (one.current ? session.signOut() : end('sessions', one.id))}>
                {words.header.signOut}
              </Button>
            </li>
          ))}
          {own.leases.map((one) => (
            <li key={one.id}>
              <div class="own-text">
                <span class="own-name">{words.sessions.lease(one.client_ip)}</span>
                <span class="own-facts">
                  {nameOf(one.agent, one.agent)} · {words.sessions.until(date(one.expires_at))}
                </span>
              </div>
              <Button onClick={() => void end('leases', one.id)}>{words.sessions.end}</Button>
            </li>
          ))}
        </ul>
      </Panel>
      {own.devices.length > 0 && (
        <Panel view="devices" title={words.sessions.devices}>
          <p>{words.sessions.devicesIntro}</p>
          <ul class="own-list">
            {own.devices.map((one) => (
              <li key={one.id}>
                <div class="own-text">
                  <span class="own-name">{nameOf(one.agent, words.sessions.browser)}</span>
                  <span class="own-facts">
                    {words.sessions.device(date(one.started_at))} · {words.sessions.used(date(one.used_at))}
                  </span>
                </div>
                <Button onClick={() => void end('devices', one.id)}>{words.sessions.forget}</Button>
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </>
  );
}
