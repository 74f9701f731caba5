/** `visible` is false while another view is looked at: the view stays as it is, and should ask for nothing. */
export interface ViewProps {
  visible: boolean;
}
