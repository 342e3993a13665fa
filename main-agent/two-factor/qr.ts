import qrcode from 'qrcode';
import { qrPixelsMin, qrQuietModules } from './limits.ts';

/**
 * A QR picture as a `data:image/png` URL, drawn on main so that the exposed host never learns how. Level M: read from
 * a screen there is no dirt, and a smaller symbol has bigger modules.
 */
export function drawQr(text: string): Promise<string> {
  return qrcode.toDataURL(text, {
    errorCorrectionLevel: 'M',
    margin: qrQuietModules,
    // The library rounds down to whole modules; the largest symbol we draw has under 100.
    width: qrPixelsMin + 100,
    type: 'image/png',
  });
}
