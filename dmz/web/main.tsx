import { render } from 'preact';
import { App } from '#dmz/web/pages/app.tsx';
import { buildClient, ClientContext } from '#dmz/web/state/client.ts';

/** Starts the web client: the only module that does something by being loaded. */

const client = buildClient(window);
void client.session.refresh();
await client.preferences.start();
const place = document.getElementById('app');
if (place !== null)
  render(
    <ClientContext.Provider value={client}>
      <App />
    </ClientContext.Provider>,
    place,
  );
