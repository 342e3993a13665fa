/** The one function we use of the qrcode package, which brings no types. */
declare module 'qrcode' {
  export interface DataUrlOptions {
    readonly errorCorrectionLevel: 'L' | 'M' | 'Q' | 'H';
    /** Quiet zone in modules. */
    readonly margin: number;
    /** Pixels; rounded down to whole modules. */
    readonly width: number;
    readonly type: 'image/png';
  }
  const qrcode: { toDataURL(text: string, options: DataUrlOptions): Promise<string> };
  export default qrcode;
}
