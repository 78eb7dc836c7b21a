"""Whole questions, as people ask them, with the packages of Debian that answer each.

They were written by hand, from the names and summaries of two committed samples, and before any
search had been asked them. A package counts as right where a person who asks would be served by it,
so some questions have several. `NEEDS` tell of a need in plain words. `TELLING` have a rare word in
a long sentence: a name, a file's ending, a protocol.

One half of each is to choose by (`halves`), and the other to report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NEEDS", "TELLING", "Asked", "halves"]


@dataclass(frozen=True)
class Asked:
    """A question, and the packages that answer it."""

    text: str
    rows: frozenset[str]


def halves(asked: Sequence[Asked]) -> tuple[Sequence[Asked], Sequence[Asked]]:
    """Return the questions to choose by, and those to report: every other one."""
    return asked[::2], asked[1::2]


def _asked(*told: tuple[str, str]) -> Sequence[Asked]:
    return tuple(Asked(text, frozenset(rows.split())) for text, rows in told)


NEEDS = _asked(
    ("edit photos and retouch pictures", "gimp darktable digikam krita"),
    ("back up my files to another machine, encrypted", "restic borgbackup"),
    ("a map of the stars and planets in the night sky", "stellarium"),
    ("how can I see which program is using all my memory and cpu", "htop"),
    ("I deleted a file by mistake and want to get it back", "ext3grep"),
    ("what can I use to make a bigger partition on my hard disk", "gparted"),
    ("something to keep track of the money I spend and earn at home", "gnucash"),
    ("how do I turn a web page into a pdf", "wkhtmltopdf python3-django-wkhtmltopdf"),
    ("I want to record what happens on my screen as a video", "simplescreenrecorder"),
    ("change the desktop background picture every day by itself", "variety"),
    ("stop the screen from going to sleep while I watch a film", "gnome-shell-extension-caffeine"),
    ("what do I need to write sheet music on the computer", "musescore3 lilypond"),
    ("find files that I have twice and remove the copies", "fdupes rmlint-gui"),
    ("show me what takes up the space on my disk", "gdu"),
    ("burn some songs onto a blank cd", "k3b"),
    ("draw a poster with shapes that can be scaled to any size", "inkscape"),
    ("remind me to take a break from typing so my wrists do not hurt", "workrave-mate"),
    ("how can I read the books that I bought on my e-reader", "calibre"),
    ("I forgot the password of my windows computer", "ophcrack"),
    ("is there a program that cuts silence out of my recordings", "auto-editor audacity"),
    ("share a folder with the other computers in the house", "nfs-kernel-server"),
    ("which of my services still run old libraries after an update", "needrestart"),
    ("get a free certificate so that my site has https", "certbot"),
    ("make a small animation from photos of clay figures", "qstopmotion"),
    ("print the words of hymns on the big screen in our church", "openlp"),
    ("look at two versions of a text side by side and merge them", "diffuse kdiff3"),
    ("is my hard drive about to fail", "smart-notifier"),
    ("write a letter or a report with columns and pictures for the print shop", "scribus"),
    ("hide the mouse arrow when I do not use it", "unclutter"),
    ("move the mouse with my head because I cannot use my hands", "eviacam gnome-mousetrap"),
    ("sit and watch the pupils' screens in the computer room", "veyon-master epoptes-client"),
    ("an app that shows the elements and what they are made of", "kalzium"),
    ("how do I turn off wifi and bluetooth from the command line", "rfkill"),
    ("find out which devices are on my local network", "arp-scan nmap nmapsi4"),
    ("a calculator for the terminal that knows units and currencies", "qalc"),
    ("fix the line ends of a text that comes from windows", "dos2unix"),
    ("a game where you build an empire from the stone age on", "freeciv-server"),
    ("learn how to say words in a foreign language", "artikulate"),
    ("keep bookmarks of websites in the shell", "buku"),
    ("lend my computer's idle time to science", "boinc-manager"),
    ("plan the lessons and rooms of a school", "fet-data"),
    ("show the keys that I press while I give a demonstration", "screenkey"),
    ("sort out why my computer freezes when it runs out of memory", "nohang"),
    ("the battery of my laptop does not last long, what helps", "laptop-mode-tools tuned-utils"),
    ("collect my ideas in a tree with branches", "vym"),
    ("put the right artist and title into my music files", "picard flactag"),
    ("limit how much room each user may take on the server", "quota"),
    (
        "let others see and control my desktop from far away",
        "tigervnc-scraping-server tigervnc-standalone-server qemu-web-desktop",
    ),
    ("mail me when a blog that I follow has something new", "rss2email feed2imap"),
    ("find the text of a letter among many office files", "loook"),
    ("spread one picture over several sheets of paper and glue them together", "plakativ"),
    ("turn my 3d model into something that the printer understands", "prusa-slicer"),
    ("cut a long recording and take out the noise", "audacity"),
    ("make one large picture out of hundreds of small photos", "pixelize"),
    ("handle the questions of our customers as tickets", "request-tracker4"),
    ("clean up a messy table of data before I analyse it", "openrefine"),
    ("find words with the same meaning in Hungarian", "mythes-hu"),
    ("cross out and write notes on a form before I send it back", "flpsed"),
    (
        "take a program from the internet and lock it up so that it can do no harm",
        "firejail-profiles seccomp",
    ),
    ("a place for my mother's recipes that everybody in the house can edit", "didiwiki"),
    ("which program can show me what goes over the network cable", "wireshark termshark"),
    ("read my mail in a window, with a calendar beside it", "thunderbird"),
    ("I need a database for my web shop that will not lose anything", "postgresql-15"),
    ("watch films in any format without installing codecs", "vlc mpv"),
    (
        "a game where I run a dungeon and fight monsters turn by turn",
        "nethack-qt slashem-sdl crawl-tiles",
    ),
    ("a text editor that I can steer without taking my hands off the keys", "vim xvile"),
    ("draw the curve of a function from the command line", "gnuplot"),
    ("how do I set up a small web server for static files", "nginx nginx-light mini-httpd-run"),
    ("model a part for a machine with exact measures", "freecad openscad"),
    ("design a circuit board and order it", "kicad"),
    ("make a cartoon film with characters in three dimensions", "blender"),
    ("keep an older state of my files for every day of the last month", "rsnapshot"),
    ("only copy what has changed between two folders", "rsync rdiff"),
    ("where do I keep the history of the source code that I write", "git"),
    ("lower the volume with an icon beside the clock", "volumeicon-alsa kmix"),
    ("lock the text console while I am away from my desk", "vlock"),
    ("is there anything that looks up a word in many languages at once", "goldendict stardict"),
    ("start and stop the music with the buttons of my keyboard", "playerctl"),
    ("get videos that are streamed and keep them as a file", "rtmpdump"),
    ("build a website with a blog out of plain text files", "jekyll"),
    ("get around the censorship of my country", "trojan i2pd"),
    ("check whether port 80 of a machine answers behind a firewall", "tcptraceroute nmap"),
    ("put the windows side by side without overlapping, driven by keys", "i3-wm"),
    ("train for the exam of a radio amateur", "hamexam"),
    ("control the printer from my computer while it prints layers of plastic", "pronterface"),
    ("make small previews for a folder full of movies", "ffmpegthumbnailer"),
    ("record my band with many tracks and mix them", "ardour audacity"),
    ("install a tool written in Python without breaking the rest of the system", "pipx"),
    ("find out how busy the server was last night", "sysstat collectd-core"),
    ("copy a disk as evidence for the court", "guymager"),
    ("fill in a grid with numbers and formulas in a terminal", "sc"),
    ("translate text from English into Portuguese word by word", "dict-freedict-eng-por"),
    ("fly a small plane on the screen before I crash the real one", "crrcsim"),
    ("wait for a call from another site and then run a script", "webhook"),
    ("get told when a friend writes something to me, in the corner of the screen", "dunst"),
    ("practise fractions with my daughter", "jfractionlab"),
    ("play the old game with falling blocks in a terminal", "bastet"),
    ("work out where a GPS track went and cut off the ends", "gpsprune"),
    ("show the slides on the projector and the notes on my laptop", "pympress"),
    ("choose which services start when the machine boots", "rcconf"),
)

TELLING = _asked(
    ("how do I open a .xcf file that somebody sent me", "gimp"),
    ("is there something like ncdu that is faster on big disks", "gdu"),
    ("how can I copy a folder to s3 from the command line", "s4cmd s3curl"),
    ("what do I use to talk to a PlayStation from my computer", "chiaki"),
    ("my friend sent a Keynote presentation, how do I get it into LibreOffice", "key2odp"),
    (
        "I have some old Microsoft Works documents and want to read them on a tablet",
        "wps2epub wps2odt",
    ),
    ("how do I get the pictures off my phone, it only speaks MTP", "go-mtpfs"),
    ("which program plays the music of the Atari YM chip", "stymulator"),
    ("what can I use to post to Mastodon without a browser", "toot"),
    ("I need to write a file to a usb stick with a bmap", "bmap-tools"),
    ("how do I make a .torrent from a folder", "mktorrent"),
    ("is there a client for the Gemini protocol that works in a terminal", "amfora"),
    ("how do I set up GELI or LUKS to unlock with the TPM2 of my machine", "clevis-tpm2 luksmeta"),
    (
        "read the old files of my ZX Spectrum games on this computer",
        "fuse-emulator-gtk fuse-emulator-sdl",
    ),
    ("I would like a program that edits SoundFont files", "polyphone"),
    ("which tool can look inside the registry of Windows as if it were a disk", "winregfs"),
    ("how do I look at wireshark captures over ssh, without graphics", "termshark"),
    ("sign my release files the way OpenBSD's signify does", "minisign"),
    ("something that reads the temperature from my 1-Wire sensors", "digitemp owhttpd"),
    ("convert a QuarkXPress or RTF document into plain text", "unrtf"),
    ("what do I need to use my Trezor with a wallet", "trezor"),
    ("how do I put a music tag on FLAC files with MusicBrainz", "flactag picard"),
    ("which package checks the SMART values of my drives and warns me", "smart-notifier"),
    ("I want a YubiKey to log in, where do I configure the device", "yubikey-manager"),
    ("a shell prompt helper that loads a .envrc when I enter a directory", "direnv"),
    ("how can I see the BIOS version and serial number, I think it is called DMI", "dmidecode"),
    ("is there a way to use Exchange mail with a normal IMAP program", "davmail"),
    ("I need to search for malware with my own YARA rules", "yara"),
    ("how can a script draw QR codes and Aztec codes", "zint zint-qt"),
    ("I cannot mount a stick that has exFAT on it", "exfat-fuse"),
    (
        "my DNS provider is at Route53 and I want a wildcard certificate",
        "python3-certbot-dns-route53",
    ),
    ("convert all my wav files into mp3 with the best quality", "lame"),
    ("which tool shows the difference between two pdfs", "diffpdf"),
    ("does anything exist to program my LEGO Mindstorms NXT", "t2n"),
    ("where is the client for the Tox network that is easy on memory", "utox"),
    ("I have a HDHomeRun tuner and need to set it up", "hdhomerun-config"),
    ("can I play chess against it or look through PGN collections", "chessx"),
    ("a plugin that makes weechat speak Perl", "weechat-perl"),
    (
        "check the quality of my rst files before they are published",
        "rstcheck python3-restructuredtext-lint",
    ),
    ("the old Nethack with pictures instead of letters", "nethack-qt slashem-sdl crawl-tiles"),
    ("is there a graphical program for borg, so that my father can use it", "vorta"),
    ("I know rclone, but would rather click than type", "rclone-browser"),
    ("what is the package that gives me the PuTTY tools, such as plink", "putty-tools"),
    ("where do I find the pinentry that works without X", "pinentry-curses"),
    ("how do I get a list of all subdomains of a site, somebody said sublist3r", "sublist3r"),
    ("which Bomberman clone can I play with my friends", "bomberclone"),
    ("how can I run Verilog tests for my own processor", "iverilog verilator"),
    ("I want to find out with VHDL if my design works", "ghdl-llvm"),
    ("my Brother uses the JACK server, how do I start and stop it with the mouse", "qjackctl"),
    ("can I unpack .xz archives with what Debian has", "xz-utils"),
    ("what can list Amazon buckets, is it called s4cmd or something", "s4cmd s3curl"),
    ("how do I keep my Maildir the same as on the IMAP server", "isync"),
    ("the ledger files of my accounts should be edited in Emacs", "elpa-ledger"),
    ("show git changes in the margin while I edit in vim", "vim-gitgutter"),
    ("how do I read DICOM images of my knee", "aeskulap mitools"),
    (
        "where can I check that a website's WebSocket works, or make one from a shell script",
        "websocketd",
    ),
    ("run code in Bf, Lua or anything just in time, I mean luajit", "luajit"),
    ("I have a Xen host and would like to create guests quickly", "xen-tools"),
    ("is there a TFTP server for booting my old thin clients", "atftpd dnsmasq-base"),
    (
        "what do I install to write RPMs' chroots on Debian, like debootstrap but for Fedora",
        "rinse",
    ),
)
