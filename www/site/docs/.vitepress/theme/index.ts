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

/** The list of pages is longer than most windows: the current one is in sight. */
function showCurrentPage(): void {
  const sidebar = document.querySelector(".VPSidebar");
  const page = sidebar?.querySelector(".is-link.is-active");
  if (!sidebar || !page) return;
  const { top, bottom } = page.getBoundingClientRect();
  const beyond = Math.max(bottom - sidebar.getBoundingClientRect().bottom, 0);
  if (beyond > 0 || top < 0) sidebar.scrollTop += beyond + sidebar.clientHeight / 2;
}
