import { onContentUpdated } from "vitepress";
import { h, nextTick } from "vue";
import Theme from "vitepress/theme-without-fonts";
import Flow from "./Flow.vue";
import "./style.css";

export default {
  extends: Theme,
  Layout: () => h(Theme.Layout, null, { "home-hero-image": () => h(Flow) }),
  setup() {
    // The list marks the current page when all is mounted, a tick before it shows.
    onContentUpdated(() => nextTick(showCurrentPage));
  },
};

/** The list of pages is longer than most windows: one that is out of sight is put into its middle. */
function showCurrentPage(): void {
  const sidebar = document.querySelector(".VPSidebar");
  const current = sidebar?.querySelector(".is-link.is-active");
  if (!sidebar || !current) return;
  const list = sidebar.getBoundingClientRect();
  const page = current.getBoundingClientRect();
  if (page.top < list.top || page.bottom > list.bottom) sidebar.scrollTop += (page.top + page.bottom - list.top - list.bottom) / 2;
}
