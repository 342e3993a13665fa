import { describeApi } from '#dmz/http-api/openapi.ts';
import { sendBytes, type Exchange } from '#dmz/https/exchange/exchange.ts';

/** `/api/openapi.json`, for anybody: what is called how is no secret. Made when it is first asked for, and kept. */
export function buildApiDocument(): (exchange: Exchange) => Promise<void> {
  let document: Buffer | undefined;
  return (exchange) => {
    document ??= Buffer.from(JSON.stringify(describeApi()));
    return sendBytes(exchange, 200, document, ['Content-Type', 'application/json']);
  };
}
